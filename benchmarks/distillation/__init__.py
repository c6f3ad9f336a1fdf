"""Few-step methods side by side, at equal cost in network passes."""

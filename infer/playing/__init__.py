"""The server behind ``python -m infer.play``: one world, one player, one page."""

"""What the place of a LoRA is worth at an equal number of parameters."""

"""Model cards: what a released model is, how it was made, how good it is, how it is called."""

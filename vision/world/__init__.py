"""The world system: a first-person world that answers a gamepad, and its data."""

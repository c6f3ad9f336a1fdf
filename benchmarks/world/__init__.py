"""How much worlds answer their gamepad: arms trained side by side, or given models."""

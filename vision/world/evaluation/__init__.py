"""How much a world answers its gamepad, measured against the engine's own frames."""

"""The try-on system: a person handles a garment, and wears another one (iTryOn, arXiv 2605.21431)."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.tryon.arope import arope_positions as arope_positions
    from vision.tryon.loss import action_constraint_loss as action_constraint_loss
    from vision.tryon.segments import action_segments as action_segments

_LAZY = {
    "action_constraint_loss": "vision.tryon.loss",
    "action_segments": "vision.tryon.segments",
    "arope_positions": "vision.tryon.arope",
}
__all__ = ["action_constraint_loss", "action_segments", "arope_positions"]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'vision.tryon' has no attribute {name!r}; it offers {sorted(__all__)}")

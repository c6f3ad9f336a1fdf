"""Dehazing: networks that clear photographs, and what adapts them to a user's haze.

The method is BiLaLoRA's (arXiv 2603.10872).

Everything is imported lazily: the command lines need no torch for their help.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.dehaze.directions.exemplar_direction import ExemplarDirection as ExemplarDirection
    from vision.dehaze.directions.synthetic_pair_direction import (
        SyntheticPairDirection as SyntheticPairDirection,
    )
    from vision.dehaze.directions.text_direction import TextDirection as TextDirection
    from vision.dehaze.haze_to_clear import haze_to_clear_loss as haze_to_clear_loss
    from vision.dehaze.haze_to_clear_objective import HazeToClear as HazeToClear

_LAZY = {
    "ExemplarDirection": "vision.dehaze.directions.exemplar_direction",
    "HazeToClear": "vision.dehaze.haze_to_clear_objective",
    "SyntheticPairDirection": "vision.dehaze.directions.synthetic_pair_direction",
    "TextDirection": "vision.dehaze.directions.text_direction",
    "haze_to_clear_loss": "vision.dehaze.haze_to_clear",
}
__all__ = [
    "ExemplarDirection",
    "HazeToClear",
    "SyntheticPairDirection",
    "TextDirection",
    "haze_to_clear_loss",
]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'vision.dehaze' has no attribute {name!r}; it offers {sorted(__all__)}")

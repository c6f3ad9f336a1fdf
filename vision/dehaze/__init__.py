"""Dehazing: networks that clear photographs, and what adapts them to a user's haze.

The method is BiLaLoRA's (arXiv 2603.10872).

Everything is imported lazily: the command lines need no torch for their help.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.dehaze.exemplar_direction import ExemplarDirection as ExemplarDirection
    from vision.dehaze.haze_to_clear import haze_to_clear_loss as haze_to_clear_loss
    from vision.dehaze.haze_to_clear_objective import HazeToClear as HazeToClear
    from vision.dehaze.synthetic_pair_direction import SyntheticPairDirection as SyntheticPairDirection
    from vision.dehaze.text_direction import TextDirection as TextDirection

_PLACES = {
    "ExemplarDirection": "exemplar_direction",
    "HazeToClear": "haze_to_clear_objective",
    "SyntheticPairDirection": "synthetic_pair_direction",
    "TextDirection": "text_direction",
    "haze_to_clear_loss": "haze_to_clear",
}
__all__ = [
    "ExemplarDirection",
    "HazeToClear",
    "SyntheticPairDirection",
    "TextDirection",
    "haze_to_clear_loss",
]


def __getattr__(name: str):
    if name in _PLACES:
        return getattr(import_module(f"vision.dehaze.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'vision.dehaze' has no attribute {name!r}; it offers {sorted(__all__)}")

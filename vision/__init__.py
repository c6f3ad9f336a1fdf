"""Atelier's library: what a model is and what it computes.

Pipelines are imported lazily, so that ``import vision`` costs nothing:

>>> from vision import TextToImagePipeline
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.distill.pipeline import TextToImagePipeline as TextToImagePipeline

__version__ = "0.1.0"

_PIPELINES = {"TextToImagePipeline": "vision.distill.pipeline"}
__all__ = ["TextToImagePipeline", "__version__"]


def __getattr__(name: str):
    if name in _PIPELINES:
        return getattr(import_module(_PIPELINES[name]), name)
    raise AttributeError(f"module 'vision' has no attribute {name!r}; it offers {sorted(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""Atelier's library: what a model is and what it computes.

Pipelines are imported lazily, so that ``import vision`` costs nothing:

>>> from vision import TextToImagePipeline, load_pipeline
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.dehaze.pipeline import DehazePipeline as DehazePipeline
    from vision.distill.loading import load_pipeline as load_pipeline
    from vision.distill.pipeline import TextToImagePipeline as TextToImagePipeline
    from vision.tryon.pipeline import TryOnPipeline as TryOnPipeline
    from vision.world.pipeline import WorldPipeline as WorldPipeline

__version__ = "0.1.0"

_LAZY = {
    "DehazePipeline": "vision.dehaze.pipeline",
    "TextToImagePipeline": "vision.distill.pipeline",
    "TryOnPipeline": "vision.tryon.pipeline",
    "WorldPipeline": "vision.world.pipeline",
    "load_pipeline": "vision.distill.loading",
}
__all__ = [
    "DehazePipeline",
    "TextToImagePipeline",
    "TryOnPipeline",
    "WorldPipeline",
    "__version__",
    "load_pipeline",
]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'vision' has no attribute {name!r}; it offers {sorted(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)

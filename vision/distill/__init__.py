"""Few-step distillation: CDM, continuous-time distribution matching (arXiv 2605.06376).

The pipeline is imported lazily, so that the mathematics needs torch alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from vision.distill.losses import distribution_matching_loss, guidance_loss
from vision.distill.off_trajectory import off_trajectory
from vision.distill.schedule import random_schedule

if TYPE_CHECKING:
    from vision.distill.pipeline import TextToImagePipeline as TextToImagePipeline

__all__ = [
    "TextToImagePipeline",
    "distribution_matching_loss",
    "guidance_loss",
    "off_trajectory",
    "random_schedule",
]


def __getattr__(name: str):
    if name == "TextToImagePipeline":
        return import_module("vision.distill.pipeline").TextToImagePipeline
    raise AttributeError(f"module 'vision.distill' has no attribute {name!r}; it offers {sorted(__all__)}")

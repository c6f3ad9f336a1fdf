"""The kinds of models that distillation knows: ours, and pipelines of diffusers."""

from vision.distill.families.family import Family
from vision.distill.families.find import FAMILIES, find_family, stock_family
from vision.distill.families.longcat_image import LongCatImage, LongCatImageDenoiser
from vision.distill.families.sd3 import SD3, SD3Denoiser
from vision.distill.families.stock_family import StockFamily
from vision.distill.families.text_to_image import TextToImage
from vision.distill.families.wan import Wan, WanDenoiser

__all__ = [
    "FAMILIES",
    "SD3",
    "Family",
    "LongCatImage",
    "LongCatImageDenoiser",
    "SD3Denoiser",
    "StockFamily",
    "TextToImage",
    "Wan",
    "WanDenoiser",
    "find_family",
    "stock_family",
]

"""The diffusion transformer that all systems share."""

from vision.transformer.attention import AttentionBackendError, attention
from vision.transformer.conditioning import Conditioning, register_conditioning
from vision.transformer.context import BlockContext
from vision.transformer.denoiser import VideoTransformerDenoiser
from vision.transformer.model import VideoTransformer

__all__ = [
    "AttentionBackendError",
    "BlockContext",
    "Conditioning",
    "VideoTransformer",
    "VideoTransformerDenoiser",
    "attention",
    "register_conditioning",
]

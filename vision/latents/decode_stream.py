"""Latents to pixels one latent frame at a time, as a world is played.

Legend: B batch, C channels, H height, W width of the pixels; c, h, w the same of the latents.
"""

from typing import Any

from torch import Tensor, autocast

from vision.latents.autoencoder import decode, temporal_factor, unscaled
from vision.latents.causal_stack import Memory
from vision.latents.tiny_video_autoencoder import TinyVideoAutoencoder


class DecodeStream:
    """Gives the pixels of each latent frame as it comes; together they are those of :func:`decode`.

    Autoencoders of pictures, and None for pixel space, treat each frame by itself. Of those of videos it
    takes :class:`TinyVideoAutoencoder`, and keeps its memory of the frames before.

    Args:
        vae: as for :func:`vision.latents.decode`.

    Raises:
        ValueError: an autoencoder that decodes whole videos only, such as ``AutoencoderKLWan``.
    """

    def __init__(self, vae: Any) -> None:
        if temporal_factor(vae) > 1 and not isinstance(vae, TinyVideoAutoencoder):
            raise ValueError(
                f"{type(vae).__name__} decodes whole videos only; expected TinyVideoAutoencoder (python -m "
                "train.autoencoder makes one), an autoencoder of pictures, or None for pixel space. A video "
                "that is finished is decoded by vision.latents.decode"
            )
        self._vae = vae
        self.restart()

    def restart(self) -> None:
        """Forgets what came before: the next latent frame is the first of a video."""
        self._memory: Memory | None = None
        self._shape: tuple[int, ...] | None = None

    @property
    def num_bytes(self) -> int:
        """Memory of what is remembered of the frames before."""
        return sum(kept.numel() * kept.element_size() for kept in self._memory or ())

    def __call__(self, latents: Tensor) -> Tensor:
        """Pixels of the next latent frame.

        Args:
            latents: shape (B, c, 1, h, w), scaled as by :func:`vision.latents.encode`.

        Returns:
            float32, about [-1, 1], shape (B, C, 1, H, W) for the first frame of a video and
            (B, C, :func:`vision.latents.temporal_factor`, H, W) for each that follows.

        Raises:
            ValueError: not one latent frame, or one of another shape than those before.
        """
        shape = tuple(latents.shape)
        if len(shape) != 5 or shape[2] != 1 or self._shape not in (None, shape):
            expected = "(B, C, 1, H, W)" if self._shape is None else f"{self._shape} (or restart())"
            raise ValueError(f"expected one latent frame of shape {expected}; found {shape}")
        self._shape = shape
        if not isinstance(self._vae, TinyVideoAutoencoder):
            return decode(self._vae, latents)
        z = unscaled(self._vae, latents)
        with autocast(z.device.type, enabled=False):
            pixels, self._memory = self._vae.decode_next(z, self._memory)
        return pixels.float()

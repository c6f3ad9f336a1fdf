"""Dehazing by a flow from the hazy picture to the clear one, on the shared transformer.

Legend: B batch, C channels, h height, w width of the latents, H, W of the pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vision.dehaze.padding import padded
from vision.flow.path import expand_time, interpolate, velocity_from_endpoints
from vision.flow.solver import euler_solve
from vision.latents import decode, encode, latent_channels, spatial_factor


class FlowDehazer:
    """A :class:`~vision.transformer.VideoTransformer` that moves hazy latents to clear ones.

    With z the latents of the clear picture, h those of the hazy one and e standard normal noise,

        x_t = (1 - t) z + t (h + s e),    v = dx/dt = h + s e - z,

    so that t = 1 is the hazy picture with noise of deviation s, and t = 0 the clear one. The network sees
    [x_t, h] by channels and predicts v. Without noise (s = 0) x_t and h would tell z at any t < 1, and
    further steps after the first would only repeat it; with it they can correct it.

    A picture is a video of one frame. It has no prompt: the text is one token of zeros.

    Args:
        transformer: with ``in_channels`` twice the channels of the latents, ``out_channels`` once.
        vae: autoencoder of pictures or videos; None for pixels in [-1, 1].
        noise_std: s.

    Raises:
        ValueError: parts that do not fit each other.
    """

    def __init__(self, transformer: Any, vae: Any = None, noise_std: float = 0.25) -> None:
        channels = 3 if vae is None else latent_channels(vae)
        assert channels is not None
        found = (transformer.config.in_channels, transformer.config.out_channels)
        if found != (2 * channels, channels) or transformer.config.patch_size[0] != 1:
            what = "pixels" if vae is None else f"latents of this {type(vae).__name__}"
            raise ValueError(
                f"the transformer has in_channels, out_channels = {found} and patches "
                f"{tuple(transformer.config.patch_size)}; to dehaze {what} it needs "
                f"{(2 * channels, channels)} and patches of one frame"
            )
        if noise_std < 0:
            raise ValueError(f"noise_std is {noise_std}, expected 0 or more")
        self.transformer, self.vae, self.noise_std, self.channels = transformer, vae, noise_std, channels
        # Asked here: what a training puts around the transformer (DDP) has none.
        self._text_dim: int = transformer.config.text_dim
        _, rows, columns = transformer.config.patch_size
        self.factor = spatial_factor(vae)
        #: What divides the sides of pixels that it takes; other sizes are extended.
        self.size_multiple = self.factor * max(rows, columns)

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents (B, C, 1, h, w), float32, of pixels in [0, 1], shape (B, 3, H, W)."""
        return encode(self.vae, 2 * pixels - 1)

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels, about [0, 1] (not clamped), of latents; the inverse of :meth:`encode`."""
        return (decode(self.vae, latents)[:, :, 0] + 1) / 2

    def start(self, hazy: Tensor, noise: Tensor) -> Tensor:
        """``h + s e``, where the flow begins; all of shape (B, C, 1, h, w)."""
        return hazy + self.noise_std * noise

    def path(self, clear: Tensor, hazy: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """``x_t`` and its velocity for training; ``t`` has shape (B,)."""
        start = self.start(hazy, noise)
        return interpolate(clear, start, t), velocity_from_endpoints(clear, start)

    def velocity(self, x_t: Tensor, t: Tensor, hazy: Tensor) -> Tensor:
        """The network's velocity, float32; ``t`` has shape (B,)."""
        dtype = getattr(self.transformer, "module", self.transformer).dtype
        prompt = torch.zeros(len(x_t), 1, self._text_dim, dtype=dtype, device=x_t.device)
        return self.transformer(
            hidden_states=torch.cat([x_t, hazy], 1).to(dtype),
            timestep=1000 * t.float(),
            encoder_hidden_states=prompt,
            return_dict=False,
        )[0].float()

    def predict_clear(self, x_t: Tensor, t: Tensor, hazy: Tensor) -> Tensor:
        """Clear latents ``x_t - t v`` by one call of the network, for losses on pictures."""
        return x_t - expand_time(t, x_t) * self.velocity(x_t, t, hazy)

    def solve(self, hazy: Tensor, noise: Tensor, sigmas: Sequence[float]) -> Tensor:
        """Clear latents by Euler's method along ``sigmas``, falling from 1, and then to 0.

        Args:
            hazy: latents (B, C, 1, h, w), float32.
            noise: same shape.
            sigmas: the time of each step; one to four of them.
        """
        return euler_solve(
            lambda x_t, t: self.velocity(x_t, t, hazy), self.start(hazy, noise), [*sigmas, 0.0]
        )

    def dehaze(self, pixels: Tensor, noise: Tensor, sigmas: Sequence[float]) -> Tensor:
        """Clears pictures of any size.

        Args:
            pixels: hazy, in [0, 1], shape (B, 3, H, W).
            noise: of the shape that :meth:`noise_size` tells.
            sigmas: as in :meth:`solve`.

        Returns:
            Clear ones, about [0, 1] (not clamped), same shape.
        """
        height, width = pixels.shape[-2:]
        hazy = self.encode(padded(pixels, self.size_multiple))
        return self.decode(self.solve(hazy, noise.to(hazy), sigmas))[..., :height, :width]

    def noise_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the latents of pixels of this size, once extended."""
        multiple = self.size_multiple
        return tuple(-(-side // multiple) * multiple // self.factor for side in (height, width))  # pyright: ignore

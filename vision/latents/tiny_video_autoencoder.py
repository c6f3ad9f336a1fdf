"""A small causal video autoencoder, for worlds that are drawn while someone plays.

Legend: B batch, C channels, T frames, H, W height and width of the pixels; c, F, h, w the same of the
latents, F = 1 + (T - 1) / 4; p the side of a patch.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from vision.latents.causal_stack import CausalStack, Memory
from vision.latents.cosine_basis import cosine_basis

#: Frames of one latent frame, after the first.
GROUP = 4
_FIRST_LOG_VARIANCE = -8.0


class TinyVideoAutoencoder(ModelMixin, ConfigMixin):
    """Frame 0 alone, then groups of four, as in Wan's autoencoder, by 2-D convolutions alone.

    The pixels of four frames in a patch of p x p become the channels of one place, so that all else runs at
    a small resolution; each block sees the latent frame before. Frame 0 is encoded as four equal frames,
    and the last of the four that its latent gives is kept. Latents can be decoded one by one
    (:meth:`decode_next`) with the same result as all at once.

    Beside the convolutions runs a linear map of whole blocks, which begins as a cosine transform cut to its
    lowest frequencies: a fresh autoencoder already shows blurred pictures, and learns what is missing.

    Called like diffusers' ``AutoencoderKLWan``; :mod:`vision.latents` scales its latents by
    ``latents_mean`` and ``latents_std``.

    Args:
        in_channels: C.
        latent_channels: c.
        widths: channels at each resolution of the encoder, the decoder has them in reverse. The first is a
            p-th of the pixels', each next one half of it: one latent is p * 2^(len(widths) - 1) pixels wide.
        num_blocks: residual blocks at each resolution.
        patch_size: p.
        latents_mean, latents_std: of each channel over the training data; None for 0 and 1.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        latent_channels: int = 16,
        widths: Sequence[int] = (64, 128),
        num_blocks: int = 2,
        patch_size: int = 4,
        latents_mean: Sequence[float] | None = None,
        latents_std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        for name, values in (("latents_mean", latents_mean), ("latents_std", latents_std)):
            if values is not None and len(values) != latent_channels:
                raise ValueError(
                    f"{name} has {len(values)} values for {latent_channels} latent channels; give one each"
                )
        channels = GROUP * in_channels * patch_size**2
        self.encoder = CausalStack(channels, 2 * latent_channels, widths, num_blocks, upwards=False)
        self.decoder = CausalStack(latent_channels, channels, widths[::-1], num_blocks, upwards=True)
        factor = self.spatial_factor
        block = GROUP * in_channels * factor**2
        self.analysis = nn.Conv2d(block, latent_channels, 1, bias=False)
        self.synthesis = nn.Conv2d(latent_channels, block, 1, bias=False)
        with torch.no_grad():
            basis = cosine_basis(latent_channels, GROUP, in_channels, factor)
            scale = block**0.5 / 4  # of latents near 1 for pixels of a usual contrast
            self.analysis.weight.copy_(basis[:, :, None, None] / scale)
            self.synthesis.weight.copy_(basis.T[:, :, None, None] * scale)
            for stack in (self.encoder, self.decoder):
                for parameter in stack.leave.parameters():
                    parameter.zero_()
            # The posterior begins narrow, or its noise would drown the picture.
            self.encoder.leave.get_parameter("bias")[latent_channels:] = _FIRST_LOG_VARIANCE

    @property
    def spatial_factor(self) -> int:
        """Pixels of a picture's side to one of the latent's."""
        return self.config["patch_size"] * 2 ** (len(self.config["widths"]) - 1)

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """The Gaussian of the latents of each video.

        Args:
            x: pixels in [-1, 1], shape (B, C, T, H, W) with T = 4 n + 1.
            return_dict: False gives a tuple.

        Returns:
            ``AutoencoderKLOutput`` with ``latent_dist``, over latents of shape (B, c, F, h, w).

        Raises:
            ValueError: T is not 4 n + 1.
        """
        if x.shape[2] % GROUP != 1:
            raise ValueError(
                f"expected {GROUP}n + 1 frames, found {x.shape[2]}; cut the video at its end "
                "(vision.media.video.cut_to_groups)"
            )
        groups = torch.cat([x[:, :, :1].expand(-1, -1, GROUP - 1, -1, -1), x], 2)
        groups = groups.unflatten(2, (-1, GROUP)).permute(0, 2, 3, 1, 4, 5)  # (B, F, 4, C, H, W)
        groups = groups.flatten(2, 3).flatten(0, 1)  # (B F, 4 C, H, W)
        moments, _ = self.encoder(F.pixel_unshuffle(groups, self.config["patch_size"]), len(x))
        mean, log_variance = moments.chunk(2, dim=1)
        mean = mean + self.analysis(F.pixel_unshuffle(groups, self.spatial_factor))
        moments = torch.cat([mean, log_variance], 1)
        posterior = DiagonalGaussianDistribution(moments.unflatten(0, (len(x), -1)).transpose(1, 2))
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(self, z: Tensor, return_dict: bool = True) -> Any:
        """``DecoderOutput`` with ``sample``: whole videos (B, C, T, H, W) of latents (B, c, F, h, w)."""
        pixels, _ = self.decode_next(z, None)
        return DecoderOutput(sample=pixels) if return_dict else (pixels,)

    def decode_next(self, z: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        """Pixels of the latent frames that follow those that ``memory`` is of.

        Args:
            z: shape (B, c, F, h, w) with F >= 1.
            memory: what the call for the latents before returned; None at a video's first frame.

        Returns:
            pixels of shape (B, C, 4 F, H, W), or (B, C, 4 F - 3, H, W) where ``memory`` is None, and the
            memory for the latents that follow.
        """
        frames_first = z.transpose(1, 2).flatten(0, 1)  # (B F, c, h, w)
        patches, memory_after = self.decoder(frames_first, len(z), memory)
        pixels = F.pixel_shuffle(patches, self.config["patch_size"])  # (B F, 4 C, H, W)
        pixels = pixels + F.pixel_shuffle(self.synthesis(frames_first), self.spatial_factor)
        groups = pixels.unflatten(1, (GROUP, -1)).unflatten(0, (len(z), -1))  # (B, F, 4, C, H, W)
        frames = groups.flatten(1, 2).transpose(1, 2)  # (B, C, 4 F, H, W)
        return frames[:, :, GROUP - 1 if memory is None else 0 :], memory_after

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For training: pixels decoded from ``mean + std * noise``, and mean and log-variance of the latents.

        Args:
            x: as for :meth:`encode`.
            noise: standard normal, shape (B, c, F, h, w).
        """
        (posterior,) = self.encode(x, return_dict=False)
        (pixels,) = self.decode(posterior.mean + posterior.std * noise, return_dict=False)
        return pixels, posterior.mean, posterior.logvar

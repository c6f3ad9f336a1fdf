"""Training of a video autoencoder.

Legend: B batch, C channels, T frames, H, W height and width of the pixels; c, F, h, w the same of
latents.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from train.methods.method import Loss, Method
from vision.flow.draws import Draws
from vision.latents import spatial_factor, temporal_factor
from vision.latents.cache import to_unit_range
from vision.latents.tiny_video_autoencoder import TinyVideoAutoencoder


class Autoencoding(Method):
    """Pixels, edges, and a weak pull of the latents towards a standard normal; one network ``"autoencoder"``.

        z = m(x) + s(x) e,    y = decode(z),
        loss = |x - y| + g (|d_h x - d_h y| + |d_w x - d_w y|) + k (m^2 + s^2 - 1 - log s^2) / 2,

    each term a mean, d_h and d_w being differences of neighbouring pixels. With k > 0 each number of the
    latents has some noise s that the decoder bears, so a world model's small errors do not show.

    Args:
        network: the autoencoder.
        gradient_weight: g.
        kl_weight: k.
    """

    def __init__(
        self, network: TinyVideoAutoencoder, *, gradient_weight: float = 0.25, kl_weight: float = 3e-4
    ) -> None:
        super().__init__({"autoencoder": network}, {}, {"autoencoder": 1})
        self._channels = network.config["latent_channels"]
        self._space, self._time = spatial_factor(network), temporal_factor(network)
        self._gradient_weight, self._kl_weight = gradient_weight, kl_weight

    def losses(self, batch: Mapping[str, Any], draws: Draws) -> dict[str, Callable[[], Loss]]:
        """Batch: ``frames`` (B, C, T, H, W), uint8."""
        return {"autoencoder": lambda: self._loss(to_unit_range(batch["frames"]), draws)}

    def _loss(self, x: Tensor, draws: Draws) -> Loss:
        size, (frames, height, width) = len(x), x.shape[2:]
        shape = (
            size, self._channels, 1 + (frames - 1) // self._time, height // self._space, width // self._space,
        )  # fmt: skip
        y, mean, log_variance = self.networks["autoencoder"](x, draws.normal("posterior", shape, x.device))
        error = x - y.float()
        mean, log_variance = mean.float(), log_variance.float()
        parts = {
            "pixels": error.abs().mean(),
            "edges": error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean(),
            "kl": 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(),
        }
        loss = parts["pixels"] + self._gradient_weight * parts["edges"] + self._kl_weight * parts["kl"]
        parts = {name: value.detach() for name, value in parts.items()}
        return Loss(loss, {**parts, "psnr": 10 * torch.log10(4 / error.detach().square().mean())})

"""What dehazing networks are trained on: pairs, or hazy pictures alone.

Legend: B batch, S side of the crops, C, h, w channels, height and width of a flow's latents.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from train.methods.method import Loss
from vision.dehaze.content_guard import rehazing_residual
from vision.dehaze.flow_dehazer import FlowDehazer
from vision.dehaze.haze_to_clear_objective import HazeToClear
from vision.flow.draws import Draws

#: The loss of a network on a batch of ``"hazy"`` (B, 3, S, S), in [0, 1], and of pairs ``"clear"``.
Objective = Callable[[nn.Module, Mapping[str, Tensor], Draws], Loss]


def paired_pixels(network: nn.Module, batch: Mapping[str, Tensor], draws: Draws) -> Loss:
    """Mean absolute error of the cleared pixels, the loss that DEA-Net is trained with."""
    error = network(batch["hazy"]).float() - batch["clear"]
    return Loss(error.abs().mean(), {"psnr": _psnr(error)})


class PairedFlow:
    """Mean squared error of a flow's velocity on pairs.

        x_t = (1 - t) z + t (h + s e),    loss = mean (v(x_t, t, h) - (h + s e - z))^2.

    Args:
        flow: its transformer is replaced by the network of each call.
        start_share: share of samples at t = 1, where a picture begins; the others' t is even in [0, 1].
    """

    def __init__(self, flow: FlowDehazer, start_share: float) -> None:
        self.flow, self.start_share = flow, start_share

    def __call__(self, network: nn.Module, batch: Mapping[str, Tensor], draws: Draws) -> Loss:
        flow = self.flow
        flow.transformer = network
        with torch.no_grad():
            hazy, clear = flow.encode(batch["hazy"]), flow.encode(batch["clear"])
        noise = draws.normal("noise", hazy.shape, hazy.device)
        at_start = draws.uniform("start", len(hazy)) < self.start_share
        t = torch.where(at_start, 1.0, draws.uniform("time", len(hazy))).to(hazy.device)
        x_t, target = flow.path(clear, hazy, noise, t)
        error = flow.velocity(x_t, t, hazy) - target
        return Loss(error.square().mean(), {"rms": error.detach().square().mean().sqrt()})


class Unpaired:
    """The haze-to-clear loss of BiLaLoRA (Eq. 1), and a content guard where it has a weight.

        L = L_H2C(J, I) + weight * rehazing_residual(J, I).

    Args:
        clearing: gives J by the network, the hazy pictures I and the draws.
        haze_to_clear: the loss.
        guard: weight of :func:`vision.dehaze.content_guard.rehazing_residual`.
        window: of that.
    """

    def __init__(
        self,
        clearing: "Callable[[nn.Module, Tensor, Draws], Tensor]",
        haze_to_clear: HazeToClear,
        guard: float,
        window: int,
    ) -> None:
        self.clearing, self.haze_to_clear = clearing, haze_to_clear
        self.guard, self.window = guard, window

    def __call__(self, network: nn.Module, batch: Mapping[str, Tensor], draws: Draws) -> Loss:
        hazy = batch["hazy"]
        clear = self.clearing(network, hazy, draws)
        moved = self.haze_to_clear(clear, hazy)
        if not self.guard:
            return Loss(moved, {"haze_to_clear": moved.detach()})
        kept = rehazing_residual(clear, hazy, self.window)
        parts = {"haze_to_clear": moved.detach(), "residual": kept.detach()}
        return Loss(moved + self.guard * kept, parts)


def cleared_at_once(network: nn.Module, hazy: Tensor, draws: Draws) -> Tensor:
    """What a network of one call makes of the pictures."""
    return network(hazy).float()


class ClearedByFlow:
    """What a flow makes of the pictures in one step from t = 1: the very call of a pipeline of one step.

    More steps would have to be differentiated through. The noise depends on the draws alone, so two halves
    of a search that are given the same draws see the same noise.

    Args:
        flow: its transformer is replaced by the network of each call.
    """

    def __init__(self, flow: FlowDehazer) -> None:
        self.flow = flow

    def __call__(self, network: nn.Module, hazy: Tensor, draws: Draws) -> Tensor:
        flow = self.flow
        flow.transformer = network
        with torch.no_grad():
            latents = flow.encode(hazy)
        noise = draws.normal("noise", latents.shape, latents.device)
        start = torch.ones(len(latents), device=latents.device)
        return flow.decode(flow.predict_clear(flow.start(latents, noise), start, latents))


def _psnr(error: Tensor) -> Tensor:
    return -10 * torch.log10(error.detach().square().mean().clamp(min=1e-12))

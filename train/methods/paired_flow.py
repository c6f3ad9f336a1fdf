"""Training of a flow from hazy to clear pictures on pairs.

Legend: B batch.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from train.methods.method import Loss
from vision.dehaze.flow_dehazer import FlowDehazer
from vision.flow.draws import Draws


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

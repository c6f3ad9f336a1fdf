"""What a flow makes of hazy pictures, to be differentiated."""

import torch
from torch import Tensor, nn

from vision.dehaze.flow_dehazer import FlowDehazer
from vision.flow.draws import Draws


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

"""The ring's network as a denoiser, which is what the method distills."""

from torch import Tensor, nn

from benchmarks.ring_toy.network import RingNetwork
from vision.flow.denoiser import Condition, Denoiser


class RingDenoiser(Denoiser):
    """A :class:`RingNetwork` whose latents are (B S, 2, 1, 1, 1); it has no condition."""

    def __init__(self, network: RingNetwork) -> None:
        super().__init__(network)

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.network(x_t.flatten(1), t).reshape(x_t.shape)

    def time_embedder(self) -> nn.Module:
        return self.network.get_submodule("time")

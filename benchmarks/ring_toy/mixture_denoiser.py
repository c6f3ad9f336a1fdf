"""A teacher without error: the exact velocity of a Gaussian mixture."""

from torch import Tensor, nn

from benchmarks.ring_toy.mixture import Mixture
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.path import velocity_from_x0


class MixtureDenoiser(Denoiser):
    """The exact velocity of a mixture."""

    def __init__(self, mixture: Mixture) -> None:
        super().__init__(nn.Identity())
        self.mixture = mixture

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        x0 = self.mixture.x0(x_t.flatten(1), t).reshape(x_t.shape)
        return velocity_from_x0(x_t, x0, t)

    def time_embedder(self) -> nn.Module:
        return self.network

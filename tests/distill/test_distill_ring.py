"""CDM trains: eight Gaussians on a ring, whose exact velocity is the teacher.

The time embedding has high frequencies, so that the student does not get times beside its grid for
nothing; the measure is the energy distance to the data, times 1000 (2.5 between two samples of the data).
"""

import copy
import math

import torch
from torch import Tensor, nn
from toy_denoisers import Mixture, MixtureDenoiser

from train.ema import MovingAverage
from train.methods.cdm import CDM
from train.recipes.cdm import CDMSettings
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.draws import Draws
from vision.flow.solver import euler_solve

BATCH = 384
RATES = torch.logspace(0, 3, 24)  # of the time embedding, in radians over the unit interval
ANGLES = torch.arange(8) * math.pi / 4
RING = Mixture(1.5 * torch.stack([ANGLES.cos(), ANGLES.sin()], 1), torch.full((8, 2), 0.12))


class RingNetwork(nn.Module):
    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.time = nn.Linear(2 * len(RATES) + 1, width)
        self.inner = nn.Linear(2, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.outer = nn.Linear(width, 2)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angle = t[:, None] * RATES
        hidden = self.inner(x) + self.time(torch.cat([t[:, None], angle.sin(), angle.cos()], 1))
        for layer in self.layers:
            hidden = layer(nn.functional.silu(hidden))
        return self.outer(nn.functional.silu(hidden))


class RingDenoiser(Denoiser):
    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.network(x_t.flatten(1), t).reshape(x_t.shape)

    def time_embedder(self) -> nn.Module:
        return self.network.time  # pyright: ignore[reportReturnType]


def data(count: int, generator: torch.Generator) -> Tensor:
    component = torch.randint(8, (count,), generator=generator)
    return RING.means[component] + RING.stds[component] * torch.randn(count, 2, generator=generator)


def regressed(steps: int) -> RingNetwork:
    """A network that follows the exact velocity: what student and fake score start from."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network = RingNetwork()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(steps):
        x_0, t = data(512, generator), (0.005 + 0.995 * torch.rand(512, generator=generator))
        x_t = x_0 + t[:, None] * (torch.randn(512, 2, generator=generator) - x_0)
        optimizer.zero_grad()
        velocity = (x_t - RING.x0(x_t, t)) / t[:, None]
        (network(x_t, t) - velocity).square().mean().backward()
        optimizer.step()
    return network


def distilled(start: RingNetwork, iterations: int, seed: int = 0, **options) -> RingNetwork:
    """The moving average of the student after a run of the method."""
    settings = CDMSettings(
        weight_guidance=0.0, max_rollout_steps=8, sigma_low=0.05, sigma_high=0.98, **options
    )
    method = CDM(
        RingDenoiser(copy.deepcopy(start)),
        RingDenoiser(copy.deepcopy(start)),
        MixtureDenoiser(RING),
        settings=settings,
        null_condition={},
        latent_shape=(2, 1, 1, 1),
    )
    optimizers = {
        name: torch.optim.AdamW(method.networks[name].parameters(), lr=lr)
        for name, lr in (("fake", 1e-3), ("student", 5e-4))
    }
    weights = dict(method.networks["student"].named_parameters())
    average, updates = MovingAverage(weights, 0.999), 0
    for step in range(iterations):
        draws = Draws(seed, step, 0, BATCH)
        for name, thunk in method.losses({"none": torch.zeros(BATCH, 1)}, draws).items():
            optimizers[name].zero_grad()
            thunk().value.backward()
            nn.utils.clip_grad_norm_(method.networks[name].parameters(), 1.0)
            optimizers[name].step()
            method.updated(name)
            if name == "student":
                updates += 1
                average.update(weights, updates)
    student = copy.deepcopy(start)
    student.load_state_dict(average.weights)
    return student


def energy_distance(a: Tensor, b: Tensor) -> float:
    within = torch.cdist(a, a).mean() + torch.cdist(b, b).mean()
    return 1000 * (2 * torch.cdist(a, b).mean() - within).item()


@torch.no_grad()
def distance(network: RingNetwork, times: list[float], count: int = 2000) -> float:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(count, 2, generator=generator)
    sample = euler_solve(lambda x, t: network(x, t), noise, [*times, 0.0])
    return energy_distance(sample, data(count, generator))


def off_grid(network: RingNetwork) -> float:
    """Mean over six random schedules of four steps."""
    generator = torch.Generator().manual_seed(2)
    schedules = [
        (0.1 + 0.85 * torch.rand(3, generator=generator)).sort(descending=True).values for _ in range(6)
    ]
    return sum(distance(network, [1.0, *times.tolist()]) for times in schedules) / 6


def test_a_short_run_teaches_one_step():
    start = regressed(400)
    student = distilled(start, 120)
    # One step of the start gives the mean of the data; in between it follows a path that bends.
    assert distance(start, [1.0]) > 800
    assert distance(student, [1.0]) < 0.1 * distance(start, [1.0])
    assert off_grid(student) < 0.6 * off_grid(start)

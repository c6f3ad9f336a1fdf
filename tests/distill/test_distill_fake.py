"""Invariant 16: what the fake score converges to is the mixture of the student's predictions.

A student without parameters to learn walks two anchors. At sigma 1 it predicts (m_1 sign(x_1), s_1 x_2),
at sigma 1/2 (m_2 sign(x_1), k x_2): exact mixtures, whose denoiser is known. The first picture element
takes two values at each anchor, the second is Gaussian.
"""

import pytest
import torch
from torch import Tensor, nn
from toy_denoisers import cdm, embedding_of, prompts

from benchmarks.ring_toy.mixture import Mixture
from train.methods.cdm import CDM
from train.recipes.cdm import CDMSettings
from vision.distill.anchor import ANCHOR_SIGMA
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.draws import Draws
from vision.flow.path import velocity_from_x0

POINTS = {1.0: 0.8, 0.5: 1.6}  # m at each anchor
STDS = {1.0: 0.3, 0.5: 0.7}
SHAPE = (2, 1, 1, 1)
BATCH = 512


class TwoAnchorStudent(Denoiser):
    """Velocity (x - x_0) / sigma of the predictions above."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(1, 1))

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        sigma = float(t[0])
        first, second = x_t.flatten(1).unbind(1)
        # At sigma 1/2 the latent's second element is (x_2 + s_1 x_2) / 2 of the noise x_2.
        std_of_input = 1.0 if sigma == 1 else (1 + STDS[1.0]) / 2
        x0 = torch.stack([POINTS[sigma] * first.sign(), STDS[sigma] / std_of_input * second], 1)
        return velocity_from_x0(x_t, x0.reshape(x_t.shape), t)

    def time_embedder(self) -> nn.Module:
        return self.network


class ScoreNetwork(nn.Module):
    """A residual perceptron of (x, t), with the velocity of a standard normal as its starting point."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.time_embedder = nn.Sequential(nn.Linear(16, width), nn.SiLU(), nn.Linear(width, width))
        self.inner = nn.Linear(2, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.outer = nn.Linear(width, 2)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        phases = torch.pi * t[:, None] * torch.arange(1, 9)
        hidden = self.inner(x) + self.time_embedder(torch.cat([phases.cos(), phases.sin()], 1))
        for layer in self.layers:
            hidden = hidden + layer(nn.functional.silu(hidden))
        return self.outer(nn.functional.silu(hidden))


class ScoreDenoiser(Denoiser):
    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.network(x_t.flatten(1), t).reshape(x_t.shape)

    def time_embedder(self) -> nn.Module:
        return self.network.time_embedder  # pyright: ignore[reportReturnType]


def mixture(*sigmas: float) -> Mixture:
    means = torch.tensor([[sign * POINTS[sigma], 0.0] for sigma in sigmas for sign in (-1, 1)])
    stds = torch.tensor([[0.0, STDS[sigma]] for sigma in sigmas for _ in range(2)])
    return Mixture(means, stds)


def trained(anchor_aware: bool, steps: int) -> CDM:
    method = CDM(
        TwoAnchorStudent(),
        ScoreDenoiser(ScoreNetwork()),
        ScoreDenoiser(ScoreNetwork()),
        settings=CDMSettings(fixed_grid=[1.0, 0.5], shift=1.0, fake_merge=1.0, anchor_aware=anchor_aware),
        null_condition={},
        latent_shape=SHAPE,
    )
    optimizer = torch.optim.Adam(method.networks["fake"].parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        optimizer.zero_grad()
        method.losses(prompts(BATCH), Draws(0, 2 * step, 0, BATCH))["fake"]().value.backward()
        optimizer.step()
        schedule.step()
    return method


@torch.no_grad()
def relative_error(method: CDM, data: Mixture, target: Mixture, condition: dict[str, Tensor]) -> float:
    """Squared error of the denoiser against that of ``target``, over its variance, at samples of ``data``."""
    generator = torch.Generator().manual_seed(1)
    count = 4000
    component = torch.randint(len(data.means), (count,), generator=generator)
    x0 = data.means[component] + data.stds[component] * torch.randn(count, 2, generator=generator)
    t = 0.02 + 0.96 * torch.rand(count, generator=generator)
    x_t = (1 - t[:, None]) * x0 + t[:, None] * torch.randn(count, 2, generator=generator)
    expected = target.x0(x_t, t)
    condition = {name: value.expand(count) for name, value in condition.items()}
    velocity = method.fake.velocity(x_t.reshape(count, *SHAPE), t, condition).flatten(1)
    got = x_t - t[:, None] * velocity
    return ((got - expected).square().mean() / expected.var()).item()


def test_invariant_16_the_fake_learns_the_mixture_over_anchors():
    method = trained(anchor_aware=False, steps=600)
    both = mixture(1.0, 0.5)
    error = relative_error(method, both, both, {})
    assert error < 0.012
    # It is the mixture and not one anchor that it learned.
    for sigma in (1.0, 0.5):
        assert relative_error(method, both, mixture(sigma), {}) > 8 * error


def test_an_anchor_aware_fake_learns_each_anchor():
    method = trained(anchor_aware=True, steps=600)
    for sigma, other in ((1.0, 0.5), (0.5, 1.0)):
        told = {ANCHOR_SIGMA: torch.tensor([sigma])}
        error = relative_error(method, mixture(sigma), mixture(sigma), told)
        assert error < 0.012
        assert relative_error(method, mixture(sigma), mixture(other), told) > 20 * error


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_data_is_off_the_trajectory(share):
    """y and the sigma told are those of x' for that share of the samples, of the anchor for the others."""
    method, count, condition = cdm(anchor_aware=True, fake_on_off_trajectory=share), 400, prompts(400)
    draws = Draws(0, 0, 0, count)
    simulation = method._simulate(condition, draws)
    x, sigma = method._off_trajectory_input(simulation, draws)
    told: list[Tensor] = []
    embedding = embedding_of(method.networks["fake"])
    embedding.register_forward_hook(lambda module, arguments, output: told.append(arguments[0]))
    loss = method.losses(condition, draws)["fake"]().value.detach()

    off = draws.uniform("fake data", count) < share
    assert off.float().mean() == pytest.approx(share, abs=0.08)
    (sigmas,) = told
    assert torch.equal(sigmas[off], sigma[off])
    assert torch.equal(sigmas[~off], simulation.anchor.sigma[~off])

    def reshape(t: Tensor) -> Tensor:
        return t.reshape(-1, 1, 1, 1, 1)

    with torch.no_grad():
        v = method.student.velocity(x, sigma, condition)
        y = torch.where(reshape(off), x - reshape(sigma) * v, simulation.anchor.x0)
        t = draws.uniform("fake time", count).clamp(0.02, 0.98)
        noise = draws.normal("fake", y.shape)
        got = method.fake.velocity(y + reshape(t) * (noise - y), t, condition)
    torch.testing.assert_close(loss, (got - (noise - y)).square().mean())


def test_the_fake_may_compare_clean_latents():
    """At t = 1/2 the same error is weighed by t^2 = 1/4."""
    found = [
        cdm(time_min=0.49999, time_max=0.50001, fake_loss=kind)
        .losses(prompts(8), Draws(0, 0, 0, 8))["fake"]()
        .value.detach()
        for kind in ("velocity", "x0")
    ]
    torch.testing.assert_close(found[1], found[0] / 4, rtol=1e-4, atol=0)

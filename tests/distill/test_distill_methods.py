"""The methods beside CDM: D-DMD, DMD, consistency and MeanFlow, against formulas and exact flows."""

from typing import Any

import pytest
import torch
from cdm_reference import BATCH, STUDENT_STEP, ReferenceIteration, compare, draws
from torch import Tensor, nn
from toy_denoisers import (
    PROMPT_WIDTH,
    SHAPE,
    TinyDenoiser,
    assert_all_close,
    cdm,
    gradients,
    prompts,
    tiny_denoiser,
    transformer_denoiser,
    transformer_prompts,
)

from benchmarks.ring_toy.mixture import Mixture
from benchmarks.ring_toy.mixture_denoiser import MixtureDenoiser
from train.methods.consistency import Consistency
from train.methods.ddmd import DDMD
from train.methods.dmd import DMD
from train.methods.meanflow import MeanFlow
from train.recipes.consistency import ConsistencySettings
from train.recipes.ddmd import DDMDSettings
from train.recipes.dmd import DMDSettings
from train.recipes.meanflow import MeanFlowSettings
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.draws import Draws
from vision.flow.path import expand_time
from vision.transformer import INTERVAL

GRID = [1.0, 0.75, 0.5, 0.25]
SHIFTED = [1.0, 0.9, 0.75, 0.5]
NULL = {"prompt": torch.zeros(1, PROMPT_WIDTH)}


def arguments() -> dict[str, Any]:
    """Tiny networks of seeds 0, 1, 2, as :func:`toy_denoisers.cdm` has them."""
    student, fake, teacher = (tiny_denoiser(seed) for seed in range(3))
    parts = {"student": student, "fake": fake, "teacher": teacher}
    return {**parts, "null_condition": NULL, "latent_shape": SHAPE, "shift": 3.0}


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("aware", [False, True])
def test_ddmd_is_cdm_on_a_grid_without_the_loss_off_the_trajectory(double, aware):
    options: dict[str, Any] = {"double_matching": double, "anchor_aware": aware}
    own = DDMD(**arguments(), settings=DDMDSettings(**options))
    other = cdm(fixed_grid=GRID, weight_off_trajectory=0.0, **options)
    for name in ("fake", "student"):
        for method in (own, other):
            method.losses(prompts(BATCH), draws())[name]().value.backward()
    for name in ("fake", "student"):
        found, expected = gradients(own.networks[name]), gradients(other.networks[name])
        assert sum(float(gradient.abs().sum()) for gradient in found) > 0
        assert_all_close(found, expected)


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_dmd_follows_the_guided_score(scale):
    method = DMD(**arguments(), settings=DMDSettings(guidance_scale=scale))
    reference = ReferenceIteration(method, SHIFTED)  # pyright: ignore[reportArgumentType]
    x0 = reference.predict("student", reference.x, reference.sigma)
    tau = reference.time("matching").clamp(0.02, 0.98)
    z = reference.noised(x0.detach(), "matching", tau)
    cond = reference.predict("teacher", z, tau)
    uncond = reference.predict("teacher", z, tau, torch.zeros_like(reference.condition))
    real = uncond + scale * (cond - uncond)
    compare(method, "student", reference.push(x0, real - reference.predict("fake", z, tau), real))  # pyright: ignore


def test_double_matching_of_dmd_draws_twice():
    once, twice = (
        DMD(**arguments(), settings=DMDSettings(double_matching=double)) for double in (False, True)
    )
    calls = []
    for method in (once, twice):
        method.losses(prompts(BATCH), draws(STUDENT_STEP))["student"]()
        calls.append([len(call.x) for call in method.teacher.calls])  # pyright: ignore
    assert calls == [[2 * BATCH], [2 * BATCH, 2 * BATCH]]


# ---------------------------------------------------------------- along the teacher's trajectories


def batch(size: int = BATCH) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {**prompts(size), "latents": torch.randn(size, *SHAPE, generator=generator)}


class Scaled(Denoiser):
    """A known velocity field with one trained factor, 1 at the start, in front of it."""

    def __init__(self, field: Any) -> None:
        network = nn.Module()
        network.factor = nn.Parameter(torch.ones(()))
        super().__init__(network)
        self.field = field

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.network.factor * self.field(x_t, t, condition)  # pyright: ignore

    def time_embedder(self) -> nn.Module:
        return self.network


POINT = Mixture(torch.linspace(-1, 1, 8)[None], torch.zeros(1, 8))


@pytest.mark.parametrize("huber", [0.0, 0.001])
def test_a_consistent_student_has_no_error(huber):
    exact = MixtureDenoiser(POINT)  # all trajectories are straight lines to one point
    student = Scaled(exact.velocity)
    settings = ConsistencySettings(num_scales=5, guidance_scale=1.0, huber=huber)
    method = Consistency(student, exact, settings=settings, null_condition=NULL, shift=3.0)
    loss = method.losses(batch(), draws(0))["student"]()
    assert float(loss.parts["error"]) < 1e-9 and float(loss.value) < 1e-4
    with torch.no_grad():
        student.network.factor.mul_(0.9)  # pyright: ignore
    assert float(method.losses(batch(), draws(0))["student"]().parts["error"]) > 1e-3


def test_consistency_joins_neighbouring_times_of_the_grid():
    student, teacher = tiny_denoiser(0), tiny_denoiser(2)
    settings = ConsistencySettings(num_scales=4, guidance_scale=3.0)
    method = Consistency(student, teacher, settings=settings, null_condition=NULL, shift=3.0)
    method.losses(batch(), draws(0))["student"]().value.backward()
    assert all(parameter.grad is None for parameter in teacher.network.parameters())
    target, prediction = student.calls
    assert prediction.with_gradient and not target.with_gradient and not target.training
    grid = torch.tensor([*SHIFTED, 0.0])
    index = [int((grid - t).abs().argmin()) for t in prediction.t]
    torch.testing.assert_close(prediction.t, grid[index])
    torch.testing.assert_close(target.t, grid[[i + 1 for i in index]])
    # One Euler step of the guided teacher leads from one to the other.
    (asked,) = teacher.calls
    assert len(asked.x) == 2 * BATCH and torch.equal(asked.prompt[BATCH:], torch.zeros(BATCH, PROMPT_WIDTH))
    with torch.no_grad():
        cond, uncond = teacher.network(asked.x, 1000 * asked.t, asked.prompt).chunk(2)
    stride = expand_time(target.t - prediction.t, prediction.x)
    torch.testing.assert_close(target.x, prediction.x + stride * (uncond + 3 * (cond - uncond)))


# One Gaussian: dx/dt = v is linear, and x_r = x_t std(r) / std(t).
STD = 0.5


def spread(t: Tensor) -> Tensor:
    return ((1 - t) ** 2 * STD**2 + t**2).sqrt()


def average(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
    """(x_t - x_r) / (t - r); where r = t its limit, the velocity."""
    interval = condition[INTERVAL]
    safe = torch.where(interval > 1e-3, interval, 1e-3)
    mean = (1 - spread(t - safe) / spread(t)) / safe
    limit = (t - (1 - t) * STD**2) / spread(t) ** 2
    return x * expand_time(torch.where(interval > 1e-3, mean, limit), x)


GAUSSIAN = MixtureDenoiser(Mixture(torch.zeros(1, 8), torch.full((1, 8), STD)))


@pytest.mark.parametrize(("derivative", "bound"), [("forward", 1e-6), ("difference", 1e-4)])
def test_the_mean_velocity_of_a_gaussian_has_no_error(derivative, bound):
    student = Scaled(average)
    settings = MeanFlowSettings(p_r_neq_t=0.75, guidance_scale=1.0, derivative=derivative)
    method = MeanFlow(student, GAUSSIAN, settings=settings, null_condition=NULL)
    loss = method.losses(batch(64), Draws(7, 0, 0, 64))["student"]()
    assert float(loss.parts["error"]) < bound
    with torch.no_grad():
        student.network.factor.mul_(0.9)  # pyright: ignore
    assert float(method.losses(batch(64), Draws(7, 0, 0, 64))["student"]().parts["error"]) > 1e-3


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_samples_has_an_interval(share):
    seen = []

    def field(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        seen.append((t, condition[INTERVAL], torch.is_grad_enabled()))
        return average(x, t, condition)

    settings = MeanFlowSettings(p_r_neq_t=share, guidance_scale=1.0)
    method = MeanFlow(Scaled(field), GAUSSIAN, settings=settings, null_condition=NULL)
    method.losses(batch(512), Draws(7, 0, 0, 512))["student"]()
    t, interval, _ = next(call for call in seen if call[2])
    assert bool((interval >= 0).all()) and bool((interval <= t).all())
    assert abs(float((interval > 0).float().mean()) - share) < 0.07


@pytest.mark.parametrize("derivative", ["forward", "difference"])
def test_meanflow_trains_a_transformer_with_and_without_recomputation(derivative):
    size = 4
    found = []
    for recompute in (False, True):
        student, teacher = transformer_denoiser(0), transformer_denoiser(1)
        network: Any = student.network
        network.add_conditioning(INTERVAL)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(3))
        network.train()
        if recompute:
            network.enable_gradient_checkpointing()
        method = MeanFlow(
            student,
            teacher,
            settings=MeanFlowSettings(derivative=derivative, guidance_scale=2.0, p_r_neq_t=1.0),
            null_condition={"encoder_hidden_states": torch.zeros(1, 3, 5)},
        )
        latents = torch.randn(size, 2, 1, 4, 4, generator=torch.Generator().manual_seed(2))
        loss = method.losses({**transformer_prompts(size), "latents": latents}, Draws(0, 0, 0, size))
        loss["student"]().value.backward()
        found.append(gradients(network))
        embedder = network.time_conditioning[INTERVAL].embedder
        assert all(float(p.grad.abs().sum()) > 0 for p in embedder.parameters())
    assert_all_close(*found)


def test_pictures_are_asked_for():
    settings = ConsistencySettings()
    method = Consistency(tiny_denoiser(0), tiny_denoiser(1), settings=settings, null_condition=NULL)
    with pytest.raises(ValueError, match="needs pictures too, as 'latents'"):
        method.losses(prompts(2), draws(0))


def test_the_teacher_is_frozen():
    teacher = tiny_denoiser(1)
    method = Consistency(
        TinyDenoiser(teacher.network), teacher, settings=ConsistencySettings(), null_condition=NULL
    )
    assert not any(parameter.requires_grad for parameter in method.frozen["teacher"].parameters())

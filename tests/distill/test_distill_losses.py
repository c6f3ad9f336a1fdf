"""The losses as functions: invariants 1, 2, 4, 5, 6, 7 and 12."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.ring_toy.mixture import Mixture
from benchmarks.ring_toy.mixture_denoiser import MixtureDenoiser
from vision.distill import distribution_matching_loss, guidance_loss
from vision.distill.losses import direction_scale
from vision.flow.path import score_from_velocity, x0_from_velocity

SHAPES = [(3, 7), (3, 5, 4), (2, 2, 4, 4), (2, 2, 3, 2, 2)]


def predictions(seed: int, shape: tuple[int, ...], count: int = 3, spread: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [spread * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(count)]


def gradient(loss: Tensor, of: Tensor) -> Tensor:
    return torch.autograd.grad(loss, of)[0]


def normaliser(x0: Tensor, x0_real: Tensor) -> Tensor:
    """The definition, sample by sample."""
    rows = [max((real - own).abs().mean().item() + 1e-8, 0.1) for real, own in zip(x0_real, x0, strict=True)]
    return torch.tensor(rows, dtype=x0.dtype).reshape(-1, *[1] * (x0.ndim - 1))


@given(st.integers(0, 10_000), st.sampled_from(SHAPES), st.floats(0.02, 1))
def test_invariant_1_gradient_formula(seed, shape, sigma):
    x, v, real, fake = predictions(seed, shape, 4)
    v.requires_grad_()
    x0 = x0_from_velocity(x, v, sigma)
    g = (real - fake) / normaliser(x0.detach(), real)
    loss = distribution_matching_loss(x0, real, fake)
    torch.testing.assert_close(loss.detach(), g.square().mean(), rtol=1e-10, atol=0)
    expected = 2 * sigma * g / v.numel()
    torch.testing.assert_close(gradient(loss, v), expected, rtol=1e-10, atol=1e-16)


@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_invariant_1_gradient_is_linear_in_the_direction(seed, k):
    x0, real, fake = predictions(seed, (3, 6))
    x0.requires_grad_()
    one = gradient(distribution_matching_loss(x0, real, fake), x0)
    scaled = gradient(distribution_matching_loss(x0, real, real - k * (real - fake)), x0)
    torch.testing.assert_close(scaled, k * one, rtol=1e-9, atol=1e-12)


def test_the_published_constants():
    """Two samples of two elements by hand: w = 0.5 and the bound 0.1."""
    x0 = torch.zeros(2, 2, requires_grad=True)
    real = torch.tensor([[0.5, 0.5], [0.01, -0.01]])
    fake = torch.tensor([[0.25, 0.5], [0.0, 0.0]])
    loss = distribution_matching_loss(x0, real, fake)
    assert loss.item() == pytest.approx((0.5**2 + 2 * 0.1**2) / 4)
    # -2 g / (B n) with g = (real - fake) / w: towards the teacher.
    torch.testing.assert_close(gradient(loss, x0), -2 / 4 * torch.tensor([[0.5, 0.0], [0.1, -0.1]]))


def test_invariant_2_only_the_student_gets_a_gradient():
    x0, one, two = predictions(0, (3, 6))
    for tensor in (x0, one, two):
        tensor.requires_grad_()
    (guidance_loss(x0, one, two, 7.0) + distribution_matching_loss(x0, one, two)).backward()
    assert x0.grad is not None and x0.grad.abs().min() > 0
    assert one.grad is None and two.grad is None
    assert not direction_scale(x0, one).requires_grad


def test_invariant_4_gaussians():
    """Equal variances: D_r - D_f is (mu_r - mu_f) u^2 / ((1 - u)^2 s^2 + u^2), whatever z."""
    mu_real, mu_fake, std = 0.8, -0.3, 0.4
    z = torch.linspace(-3, 3, 24, dtype=torch.float64).reshape(8, 3, 1, 1, 1)
    u = torch.linspace(0.05, 0.95, 8, dtype=torch.float64)
    ones = torch.ones(1, 3, dtype=torch.float64)

    def denoise(mean: float, std: float) -> Tensor:
        denoiser = MixtureDenoiser(Mixture(mean * ones, std * ones))
        return x0_from_velocity(z, denoiser.velocity(z, u, {}), u)

    variance = (1 - u) ** 2 * std**2 + u**2
    expected = ((mu_real - mu_fake) * u**2 / variance).reshape(8, 1, 1, 1, 1).expand(z.shape)
    torch.testing.assert_close(denoise(mu_real, std) - denoise(mu_fake, std), expected)

    time = u.reshape(8, 1, 1, 1, 1)
    for mean, other in ((mu_real, 0.4), (mu_fake, 0.9)):
        gain = (1 - time) * other**2 / ((1 - time) ** 2 * other**2 + time**2)
        torch.testing.assert_close(denoise(mean, other), mean + gain * (z - (1 - time) * mean))


def test_invariant_5_tweedie():
    """D_r - D_f = u^2 / (1 - u) (score_r - score_f) = -u (v_r - v_f) on mixtures, scores by autograd."""
    generator = torch.Generator().manual_seed(0)
    mixtures = [
        Mixture(
            torch.randn(4, 3, generator=generator, dtype=torch.float64),
            0.2 + torch.rand(4, 3, generator=generator, dtype=torch.float64),
        )
        for _ in range(2)
    ]
    x = torch.randn(16, 3, generator=generator, dtype=torch.float64)
    u = torch.linspace(0.05, 0.95, 16, dtype=torch.float64)

    velocities, scores = [], []
    for mixture in mixtures:
        at = x.clone().requires_grad_()
        scores.append(torch.autograd.grad(mixture.log_density(at, u).sum(), at)[0])
        velocities.append(MixtureDenoiser(mixture).velocity(x, u, {}))
        torch.testing.assert_close(score_from_velocity(x, velocities[-1], u), scores[-1])

    difference = mixtures[0].x0(x, u) - mixtures[1].x0(x, u)
    column = u[:, None]
    torch.testing.assert_close(difference, column**2 / (1 - column) * (scores[0] - scores[1]))
    torch.testing.assert_close(difference, -column * (velocities[0] - velocities[1]))


def test_invariant_6_fixed_points():
    x0, real, _ = predictions(0, (3, 6))
    x0.requires_grad_()
    for loss in (distribution_matching_loss(x0, real, real), guidance_loss(x0, real, real, 7.0)):
        assert loss.item() == 0
        assert torch.equal(gradient(loss, x0), torch.zeros_like(x0))


@given(st.floats(0, 20))
def test_invariant_6_guidance_is_linear_in_its_scale(scale):
    """Also after the normaliser, which does not know the scale."""
    x0, cond, uncond = predictions(1, (3, 6))
    x0.requires_grad_()
    one = gradient(guidance_loss(x0, cond, uncond, 1.0), x0)
    torch.testing.assert_close(gradient(guidance_loss(x0, cond, uncond, scale), x0), scale * one)


@given(st.integers(0, 10_000), st.floats(1, 10))
def test_invariant_7_guidance_and_matching_add_up_to_guided_dmd(seed, scale):
    """CA at alpha - 1 plus DM go along D_cfg(alpha) - D_fake; a bound of 100 switches the normaliser off."""
    x0, cond, uncond, fake = predictions(seed, (3, 6), 4)
    x0.requires_grad_()
    both = guidance_loss(x0, cond, uncond, scale - 1, min_norm=100.0)
    both = both + distribution_matching_loss(x0, cond, fake, min_norm=100.0)
    guided = uncond + scale * (cond - uncond)
    torch.testing.assert_close(gradient(both, x0), -2 * (guided - fake) / 100 / x0.numel())


@given(st.integers(0, 10_000), st.floats(0.5, 50))
def test_invariant_12_normaliser_takes_out_the_scale(seed, k):
    x0, distance, direction = predictions(seed, (4, 50))
    one = distribution_matching_loss(x0, x0 + distance, x0 + distance - direction)
    scaled = distribution_matching_loss(x0, x0 + k * distance, x0 + k * (distance - direction))
    torch.testing.assert_close(scaled, one, rtol=1e-5, atol=0)


def test_invariant_12_below_its_bound_the_normaliser_is_constant():
    x0, distance, direction = predictions(0, (4, 50), spread=0.01)
    one = distribution_matching_loss(x0, x0 + distance, x0 + distance - direction)
    half = distribution_matching_loss(x0, x0 + distance / 2, x0 + (distance - direction) / 2)
    torch.testing.assert_close(half, one / 4, rtol=1e-9, atol=0)


def test_invariant_12_normaliser_is_of_the_sample_or_of_the_batch():
    x0, real, fake = predictions(0, (2, 50))
    far = real.clone()
    far[1] += 100
    torch.testing.assert_close(direction_scale(x0, far)[0], direction_scale(x0, real)[0])
    over_batch = direction_scale(x0, far, norm_over="batch")
    assert over_batch.shape == (1, 1)
    torch.testing.assert_close(over_batch.mean(), direction_scale(x0, far).mean())
    x0.requires_grad_()
    loss = distribution_matching_loss(x0, far, fake, norm_over="batch")
    g = (far - fake) / over_batch
    torch.testing.assert_close(loss.detach(), g.square().mean())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["real", "fake"])
def test_invariant_12_a_bad_element_leaves_the_loss_finite(value, where):
    x0, real, fake = (tensor.float() for tensor in predictions(0, (3, 6)))
    x0.requires_grad_()
    clean = gradient(distribution_matching_loss(x0, real, fake), x0)
    (real if where == "real" else fake)[1, 2] = value
    loss = distribution_matching_loss(x0, real, fake)
    got = gradient(loss, x0)
    assert loss.isfinite() and got.isfinite().all()
    assert got[1, 2] == 0
    torch.testing.assert_close(got[[0, 2]], clean[[0, 2]])


def test_half_precision_predictions_are_compared_in_float32():
    x0, real, fake = (tensor.bfloat16() for tensor in predictions(0, (3, 6)))
    loss = distribution_matching_loss(x0, real, fake)
    assert loss.dtype == torch.float32
    assert loss == distribution_matching_loss(x0.float(), real.float(), fake.float())

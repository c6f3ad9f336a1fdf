"""The loss from haze to clear: its values at known angles, and what bounds its gradient."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vision.dehaze import HazeToClear, haze_to_clear_loss
from vision.dehaze.directions.pixel_encoder import PixelEncoder

D = 12


class PatchMeans(PixelEncoder):
    """A real, if small, encoder: a random linear map of the prepared pixels."""

    def __init__(self, side: int = 8) -> None:
        super().__init__("patch means", side, [0.5, 0.4, 0.3], [0.2, 0.3, 0.25])
        weights = torch.randn(D, 3 * side * side, generator=torch.Generator().manual_seed(1))
        self.weights = torch.nn.Parameter(weights, requires_grad=False)

    def embed(self, prepared: Tensor) -> Tensor:
        return prepared.flatten(1) @ self.weights.T


def movement(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """An output and an input on the sphere, and the difference of the two, float64."""
    draws = torch.Generator().manual_seed(seed)
    out, into = F.normalize(torch.randn(2, 3, D, generator=draws, dtype=torch.float64), dim=-1)
    return out, into, out - into


def test_it_is_0_along_the_direction_2_against_it_and_1_across():
    out, into, moved = movement()
    other = torch.randn(3, D, dtype=torch.float64)
    across = other - (other * moved).sum(-1, keepdim=True) / moved.square().sum(-1, keepdim=True) * moved
    for direction, value in ((moved, 0.0), (-moved, 2.0), (across, 1.0)):
        assert float(haze_to_clear_loss(out, into, direction)) == pytest.approx(value, abs=1e-12)
        assert float(haze_to_clear_loss(7 * out, 0.1 * into, 3 * direction)) == pytest.approx(
            value, abs=1e-12
        )


def test_no_movement_costs_1_and_its_gradient_is_bounded_by_the_floor():
    into = F.normalize(torch.randn(4, D), dim=-1)
    direction = torch.randn(D)
    for floor, offset in ((1e-3, 0.0), (1e-3, 1e-7), (1e-2, 0.0)):
        out = (into + offset).requires_grad_()
        loss = haze_to_clear_loss(out, into, direction, floor)
        loss.backward()
        assert float(loss.detach()) == pytest.approx(1, abs=1e-2)
        assert out.grad is not None and out.grad.isfinite().all() and out.grad.norm() > 0
        assert float(out.grad.norm(dim=-1).max()) * len(into) <= 1.01 / floor


def test_above_the_floor_it_is_the_plain_cosine():
    out, into, _ = movement()
    direction = torch.randn(3, D, dtype=torch.float64)
    plain = 1 - F.cosine_similarity(out - into, direction).mean()
    assert torch.allclose(haze_to_clear_loss(5 * out, 2 * into, direction), plain, atol=1e-12)
    one = direction[0]
    rows = haze_to_clear_loss(out, into, one.expand(3, D))
    assert torch.equal(haze_to_clear_loss(out, into, one), rows)


@given(st.integers(0, 2**31))
def test_turning_the_space_changes_nothing_and_swapping_the_prompts_mirrors_it(seed: int):
    out, into, _ = movement(seed)
    draws = torch.Generator().manual_seed(seed)
    direction = torch.randn(D, generator=draws, dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(D, D, generator=draws, dtype=torch.float64))
    loss = haze_to_clear_loss(out, into, direction)
    assert 0 <= float(loss) <= 2
    assert torch.allclose(haze_to_clear_loss(out @ turn, into @ turn, direction @ turn), loss, atol=1e-10)
    assert torch.allclose(haze_to_clear_loss(out, into, -direction), 2 - loss, atol=1e-12)


def test_only_the_output_learns():
    out, into, direction = (torch.randn(3, D, requires_grad=True) for _ in range(3))
    haze_to_clear_loss(out, into, direction).backward()
    assert out.grad is not None and into.grad is None and direction.grad is None


def test_its_gradient_is_that_of_finite_differences():
    out, into, _ = movement()
    direction = torch.randn(D, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: haze_to_clear_loss(x, into, direction), (2 * out).requires_grad_()
    )


def test_half_precision_is_computed_in_float32():
    out, into, direction = (torch.randn(3, D).bfloat16() for _ in range(3))
    expected = haze_to_clear_loss(out.float(), into.float(), direction.float())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(haze_to_clear_loss(out, into, direction), expected)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((3, D), (2, D), (D,)), "one shape"),
        (((3, D), (3, D), (D + 1,)), "same encoder"),
        (((D,), (D,), (D,)), "one shape"),
    ],
)
def test_shapes_that_do_not_fit_are_named(shapes: Any, message: str):
    with pytest.raises(ValueError, match=message):
        output, hazy, direction = (torch.ones(shape) for shape in shapes)
        haze_to_clear_loss(output, hazy, direction)


@pytest.mark.parametrize("direction", [torch.zeros(D), torch.full((D,), torch.nan)])
def test_a_direction_without_length_is_refused(direction: Tensor):
    with pytest.raises(ValueError, match="length 0 or is not finite"):
        haze_to_clear_loss(torch.randn(2, D), torch.randn(2, D), direction)


def test_without_a_floor_no_movement_still_costs_1():
    embedding = torch.randn(3, D)
    out = embedding.clone().requires_grad_()
    loss = haze_to_clear_loss(out, embedding, torch.randn(D), floor=0)
    loss.backward()
    assert loss.item() == 1 and out.grad is not None and out.grad.isfinite().all()


def test_a_floor_below_0_is_refused():
    with pytest.raises(ValueError, match="floor"):
        haze_to_clear_loss(torch.randn(2, D), torch.randn(2, D), torch.randn(D), floor=-1)


def objective(**options: Any) -> HazeToClear:
    direction: Any = SimpleNamespace(name="a random direction", encoder=PatchMeans(), vector=torch.randn(D))
    return HazeToClear(direction, **options)


def test_pictures_are_normalised_once():
    hazy, output = torch.rand(2, 3, 20, 14), torch.rand(2, 3, 20, 14)
    right = objective()
    encoder, vector = right.direction.encoder, right.direction.vector
    small = [F.interpolate(x, (8, 8), mode="bicubic", antialias=True) for x in (output, hazy)]
    embedded = [encoder.embed((x - encoder.mean) / encoder.std) for x in small]
    assert torch.allclose(right(output, hazy), haze_to_clear_loss(embedded[0], embedded[1], vector))
    twice = HazeToClear(right.direction, legacy_double_norm=True)
    assert abs(float(twice(output, hazy) - right(output, hazy))) > 1e-3
    assert "a random direction" in right.name


def test_pixels_that_were_normalised_before_are_refused():
    normalised = (torch.rand(1, 3, 8, 8) - 0.45) / 0.26
    with pytest.raises(ValueError, match="raw pixels"):
        objective()(torch.rand(1, 3, 8, 8), normalised)


def test_the_gradient_reaches_the_pixels_and_not_the_encoder():
    made = objective()
    hazy = torch.rand(2, 3, 9, 9)
    output = hazy.clone().requires_grad_()
    made(output, hazy).backward()
    assert output.grad is not None and output.grad.isfinite().all() and output.grad.abs().sum() > 0
    assert all(p.grad is None for p in made.direction.encoder.parameters())


def test_an_encoder_stays_in_evaluation_mode():
    network = torch.nn.Sequential(PatchMeans())
    network.train()
    assert not network[0].training

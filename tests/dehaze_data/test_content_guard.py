"""The content guard: no haze costs nothing, invented content does."""

import pytest
import torch

from vision.dehaze.content_guard import LEAST_TRANSMISSION, rehazing_residual


def picture(seed: int, side: int = 24) -> torch.Tensor:
    noise = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, (side, side), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("transmission", [0.15, 0.5, 1.0])
def test_any_haze_of_one_transmission_is_explained(transmission: float):
    clear, airlight = picture(0), torch.rand(2, 3, 1, 1)
    hazy = transmission * clear + (1 - transmission) * airlight
    assert rehazing_residual(clear, hazy, 9) < 1e-6


def test_the_input_itself_costs_nothing_and_has_a_finite_gradient():
    hazy = picture(1)
    output = hazy.clone().requires_grad_()
    loss = rehazing_residual(output, hazy)
    loss.backward()
    assert loss < 1e-6 and output.grad is not None and output.grad.isfinite().all()
    flat = torch.full((1, 3, 8, 8), 0.5, requires_grad=True)
    rehazing_residual(flat, flat.detach()).backward()
    assert flat.grad is not None and flat.grad.isfinite().all()


def test_content_that_the_input_lacks_costs():
    hazy = picture(2)
    grown = [rehazing_residual(hazy + size * picture(3), hazy).item() for size in (0.0, 0.2, 0.5, 1.0)]
    assert grown == sorted(grown) and grown[1] > 1e-5
    # Also where the input is flat, as behind the thickest haze: there the least transmission counts.
    flat = torch.full_like(hazy, 0.8)
    deviation = picture(3) - picture(3).mean((2, 3), keepdim=True)
    expected = LEAST_TRANSMISSION**2 * deviation.square().sum(1).mean()
    assert rehazing_residual(picture(3), flat, 24).item() == pytest.approx(expected.item(), rel=1e-3)


def test_its_gradient_is_that_of_finite_differences():
    clear, hazy = picture(4, 8).double(), picture(5, 8)
    at = clear.float().requires_grad_()
    rehazing_residual(at, hazy, 5).backward()
    assert at.grad is not None
    step = torch.zeros_like(hazy)
    step[0, 1, 3, 4] = 1e-2
    slope = (
        rehazing_residual(at.detach() + step, hazy, 5) - rehazing_residual(at.detach() - step, hazy, 5)
    ) / 2e-2
    assert at.grad[0, 1, 3, 4].item() == pytest.approx(slope.item(), rel=0.05, abs=1e-5)


def test_shapes_that_differ_are_told():
    with pytest.raises(ValueError, match="expected two batches"):
        rehazing_residual(picture(0), picture(0)[:, :, 1:])

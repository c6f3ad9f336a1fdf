"""Statistics of pictures, and when they leave a reference's."""

import pytest
import torch

from vision.metrics import departures, picture_statistics, standard_error
from vision.metrics.saturation import allowed


def test_statistics_of_pictures_that_are_known():
    black = torch.zeros(3, 4, 4, dtype=torch.uint8)
    halves = black.clone()
    halves[:, :2] = 255
    red = black.clone()
    red[0] = 255
    middle = torch.full_like(black, 51)
    found = picture_statistics(torch.stack([black, halves, red, middle]))
    assert found["saturated"].tolist() == [1, 1, 1, 0]
    assert found["mean"].tolist() == pytest.approx([0, 0.5, 1 / 3, 0.2])
    assert found["std"].tolist() == pytest.approx([0, 0.5, 2**0.5 / 3, 0])
    assert found["colour"].tolist() == pytest.approx([0, 0, 2**0.5 / 3, 0])


def test_the_ends_of_the_range_are_two_values_wide():
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    found = picture_statistics(ramp)
    assert found["saturated"].item() * 256 == pytest.approx(6)
    assert "colour" not in found


def test_a_negative_has_the_same_saturation_and_contrast():
    pictures = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    found, negative = picture_statistics(pictures), picture_statistics(255 - pictures)
    for name in ("saturated", "std", "colour"):
        assert torch.allclose(found[name], negative[name])
    assert torch.allclose(found["mean"] + negative["mean"], torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize(
    "pixels",
    [torch.zeros(1, 3, 4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8), torch.zeros(0, 3, 4, 4).byte()],
)
def test_other_shapes_and_types_are_errors(pixels):
    with pytest.raises(ValueError, match="expected uint8 pictures of shape"):
        picture_statistics(pixels)


def test_pictures_are_inside_their_own_range():
    statistics = picture_statistics(torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8))
    means = {name: values.mean().item() for name, values in statistics.items()}
    errors = {name: standard_error(values) for name, values in statistics.items()}
    assert departures(means, means, errors) == {}


@pytest.mark.parametrize("reference", [0.0, 0.01, 0.3, 0.5, 0.9])
def test_the_limit_of_saturation_fits_every_reference(reference):
    low, high = allowed("saturated", reference, None) or (1, 0)
    # Fewer is fine, all is not, and a reference of dark backgrounds has a limit below 1 too.
    assert low == 0 and reference < high < 1


def test_means_are_judged_in_standard_errors():
    means, errors = {"mean": 0.5, "std": 0.2}, {"mean": 0.01, "std": None}
    assert departures({"mean": 0.55, "std": 0.9}, means, errors) == {}  # one picture has no error
    assert departures({"mean": 0.57}, means, errors) == {"mean": pytest.approx((0.44, 0.56))}
    assert departures({"mean": 0.43, "unknown": 3.0}, means, errors).keys() == {"mean"}
    assert standard_error(torch.tensor([1.0])) is None
    assert standard_error(torch.tensor([1.0, 3.0])) == pytest.approx(1.0)

"""The scattering model, the kinds of haze and the depth they are drawn with."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.data import stereo_motorcycle

from vision.dehaze.synthetic.domain import DOMAINS, HazeDomain, domain
from vision.dehaze.synthetic.hazing import add_haze, invented_depth, smooth_field
from vision.dehaze.synthetic.motorcycle import motorcycle_depth, motorcycle_scene
from vision.dehaze.synthetic.scattering import scatter, transmission, unscatter
from vision.dehaze.synthetic.scene import relative_depth


def scene(height: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    clear = torch.rand(3, height, width, generator=draws)
    return clear, invented_depth(height, width, draws)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31), st.sampled_from(sorted(DOMAINS)))
def test_any_picture_is_the_model_of_its_truth(height: int, width: int, seed: int, name: str):
    clear, depth = scene(height, width, seed)
    kind = replace(DOMAINS[name], gamma=(1.0, 1.0), noise=(0.0, 0.0))
    sample = add_haze(clear, depth, kind, torch.Generator().manual_seed(seed))
    assert torch.equal(sample.hazy, scatter(sample.clear, sample.transmission, sample.airlight).clamp(0, 1))
    for values in (sample.hazy, sample.clear, sample.transmission, sample.airlight):
        assert values.min() >= 0 and values.max() <= 1
    # The density is at most 2.2 e^0.8, so the transmission may fall below what can be divided by.
    seen = (sample.transmission > 0.1).expand(3, -1, -1)
    back = unscatter(sample.hazy, sample.transmission, sample.airlight)
    assert torch.allclose(back[seen], sample.clear[seen], atol=1e-5)


def test_gamma_and_noise_are_the_cameras():
    clear, depth = scene(60, 80)
    plain, bent, noisy = (
        add_haze(clear, depth, kind, torch.Generator().manual_seed(3))
        for kind in (HazeDomain(), HazeDomain(gamma=(1.3, 1.3)), HazeDomain(noise=(0.02, 0.02)))
    )
    assert torch.allclose(bent.hazy, plain.hazy**1.3)
    inside = (plain.hazy > 0.1) & (plain.hazy < 0.9)
    assert float((noisy.hazy - plain.hazy)[inside].std()) == pytest.approx(0.02, rel=0.1)
    assert torch.equal(bent.transmission, plain.transmission) and torch.equal(noisy.airlight, plain.airlight)


def test_the_same_state_draws_the_same_haze_and_another_another():
    clear, depth = scene(12, 9)
    for kind in DOMAINS.values():
        a, b, c = (add_haze(clear, depth, kind, torch.Generator().manual_seed(n)) for n in (1, 1, 2))
        assert torch.equal(a.hazy, b.hazy) and not torch.equal(a.hazy, c.hazy)
        assert a.facts == b.facts


def test_kinds_of_haze_are_what_they_are_called():
    clear, depth = scene(40, 40)
    flat = torch.ones_like(depth)

    def drawn(name: str, seed: int = 5):
        return add_haze(clear, flat, domain(name), torch.Generator().manual_seed(seed))

    grey, coloured, uneven, night = (drawn(n) for n in ("grey", "coloured", "non-uniform", "night"))
    assert len(grey.airlight.unique()) == 1 and len(coloured.airlight.unique()) > 1
    assert grey.transmission.std() < 1e-6 < 1e-2 < uneven.transmission.std()
    assert night.airlight.shape == clear.shape and night.clear.mean() < 0.7 * clear.mean()
    # The glow is brightest at a lamp, which the clear picture shows.
    lamp = night.clear.mean(0).flatten().argmax()
    assert night.airlight.mean(0).flatten()[lamp] > night.airlight.mean()


def test_denser_haze_lets_less_through():
    depth = torch.rand(1, 5, 5)
    assert torch.allclose(transmission(depth, 1.5), transmission(depth, 0.5) * transmission(depth, 1.0))
    assert torch.equal(transmission(torch.zeros(1, 1, 1), 2.0), torch.ones(1, 1, 1))


@given(st.integers(1, 30), st.integers(1, 30))
def test_fields_stay_within_their_range(height: int, width: int):
    draws = torch.Generator().manual_seed(height * 31 + width)
    field, depth = smooth_field(height, width, draws), invented_depth(height, width, draws)
    assert field.shape == depth.shape == (1, height, width)
    assert field.abs().max() <= 1 and depth.min() >= 0 and depth.max() <= 1


def test_the_motorcycles_depth_gives_its_disparity_back():
    _, _, disparity = stereo_motorcycle()
    depth = motorcycle_depth(disparity)
    known = np.isfinite(depth)
    assert known.mean() > 0.8 and (np.isfinite(disparity) == known).all()
    assert np.allclose(994.978 * 0.193001 / depth[known] - 31.086, disparity[known])
    assert 1.5 < depth[known].min() < depth[known].max() < 7  # metres in a garage
    found = motorcycle_scene()
    assert found.clear.shape == (3, 500, 741) and found.depth.shape == (1, 500, 741)
    assert found.depth.max() == 1 and found.depth.min() > 0
    assert np.allclose(found.depth[0].numpy()[known], (depth / np.nanmax(depth))[known])


def test_unknown_depth_is_that_of_the_nearest_known_pixel():
    depth = np.array([[0, 2, 4, np.inf], [np.nan, 2, 4, 4], [-1, 2, 4, 4]])
    assert relative_depth(depth, "d").tolist() == [[[0.5, 0.5, 1, 1]] * 3]
    with pytest.raises(ValueError, match="no pixel has a depth"):
        relative_depth(np.zeros((2, 2)), "d")
    with pytest.raises(ValueError, match="shape"):
        relative_depth(np.ones((2, 2, 3)), "d")


def test_mistakes_are_named():
    clear, depth = scene(4, 4)
    for bad in (depth[:, :3], 2 * depth, depth * torch.nan):
        with pytest.raises(ValueError, match="depth"):
            add_haze(clear, bad, DOMAINS["grey"], torch.Generator())
    with pytest.raises(ValueError, match="grey, thin, coloured"):
        domain("fog")
    mistakes: tuple[dict[str, Any], ...] = (
        {"density": (2.0, 1.0)},
        {"brightness": (0.5, 1.5)},
        {"gamma": (0.0, 1.0)},
        {"tints": ()},
    )
    for changes in mistakes:
        with pytest.raises(ValueError, match=r"expected|at most|tints"):
            HazeDomain(**changes)

"""Fog density against its definition and its published figures, and entropy."""

import numpy as np
import pytest
import torch
from skimage import data

from vision.dehaze.synthetic.domain import HazeDomain
from vision.dehaze.synthetic.hazing import add_haze
from vision.metrics import entropy, fog_density
from vision.metrics import fog as fog_module
from vision.metrics.fog import fog_features


def pixels(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)


@pytest.mark.parametrize(
    ("name", "published"), [("astronaut", 0.4298), ("coffee", 0.3499), ("rocket", 0.9409)]
)
def test_it_is_the_published_measure(name: str, published: float):
    """What the authors' measure gives, by a port of their program, for these parts of these photographs."""
    assert fog_density(pixels(getattr(data, name)()[:256, :320])) == pytest.approx(published, abs=1e-4)


def test_more_haze_is_more_fog():
    clear = pixels(data.astronaut()[:200, :200]).float() / 255
    depth = torch.linspace(1, 0.3, 200)[None, :, None].expand(1, 200, 200)
    found = [fog_density(2 * clear - 1)]
    for density in (0.4, 0.9, 1.6):
        kind = HazeDomain(density=(density, density))
        hazy = add_haze(clear, depth, kind, torch.Generator().manual_seed(0)).hazy
        found.append(fog_density(2 * hazy - 1))
    assert found == sorted(found) and found[-1] > 2 * found[0]


def test_the_distance_is_that_of_each_patchs_own_covariance():
    features = fog_features(pixels(data.coffee()[:64, :64]))
    features = features[np.isfinite(features).all(1)]
    for mean, covariance in fog_module._statistics():
        assert np.array_equal(covariance, covariance.T) and covariance.shape == (12, 12)
        distances = []
        for row in features:
            pooled = (covariance + np.full((12, 12), row.var(ddof=1))) / 2
            distances.append(np.sqrt((row - mean) @ np.linalg.inv(pooled) @ (row - mean)))
        assert fog_module._distance(features, mean, covariance) == pytest.approx(np.mean(distances))


def test_features_are_their_definitions():
    picture = data.coffee()[100:132, 200:248]
    features = np.expm1(fog_features(pixels(picture)))
    assert features.shape == (4 * 6, 12)
    patch = picture[8:16, 16:24].astype(np.float64)  # second row, third column
    grey = np.rint(patch @ [0.2989, 0.5870, 0.1140])
    _, counts = np.unique(grey, return_counts=True)
    saturation = (patch.max(2) - patch.min(2)) / patch.max(2)
    found = features[6 + 2]
    assert found[8] == pytest.approx(-(counts / 64 * np.log2(counts / 64)).sum())
    assert found[9] == pytest.approx(patch.min(2).mean() / 255)
    assert found[10] == pytest.approx(saturation.mean())


def test_bytes_and_floats_are_alike_and_odd_borders_are_left_out():
    picture = pixels(data.coffee()[:67, :45])
    density = fog_density(picture)
    assert fog_density(picture.float() / 127.5 - 1) == density
    assert fog_density(picture[:, :64, :40]) == density


def test_black_has_no_density_and_white_is_all_fog():
    assert np.isnan(fog_density(torch.zeros(3, 32, 32, dtype=torch.uint8)))
    assert fog_density(torch.full((3, 32, 32), 255, dtype=torch.uint8)) > 2


@pytest.mark.parametrize("shape", [(3, 15, 40), (1, 40, 40), (40, 40)])
def test_pictures_too_small_are_named(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="at least 16 x 16"):
        fog_density(torch.zeros(shape, dtype=torch.uint8))


def test_entropy_counts_the_grey_levels():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16).expand(3, 16, 16)
    assert entropy(levels) == pytest.approx(8)
    assert entropy(levels[:, :, :8] // 128 * 128) == pytest.approx(1)
    assert entropy(torch.zeros(3, 1, 1, dtype=torch.uint8)) == 0
    with pytest.raises(ValueError, match="entropy needs"):
        entropy(torch.zeros(3, 0, 4))

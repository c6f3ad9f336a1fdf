"""Statistics do not depend on how samples arrive, and the distance has its closed forms."""

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.metrics import FeatureStatistics, frechet_distance


def statistics_of(features: torch.Tensor) -> FeatureStatistics:
    statistics = FeatureStatistics(features.shape[1])
    statistics.update(features)
    return statistics


def gaussian(seed: int, count: int, dimension: int, offset: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimension, dimension, generator=generator, dtype=torch.float64)
    return torch.randn(count, dimension, generator=generator, dtype=torch.float64) @ mixing + offset


@given(cuts=st.lists(st.integers(0, 60), max_size=5), offset=st.sampled_from([0.0, 1e6]))
@settings(max_examples=30, deadline=None)
def test_any_split_gives_the_statistics_of_the_whole(cuts: list[int], offset: float) -> None:
    features = gaussian(0, 60, 5, offset)
    pieces = np.split(np.arange(60), sorted(cuts))
    updated, merged = FeatureStatistics(5), FeatureStatistics(5)
    for piece in pieces:
        updated.update(features[piece])
        merged.merge(statistics_of(features[piece]))
    for found in (updated, merged):
        assert found.count == 60
        torch.testing.assert_close(found.mean, features.mean(0), rtol=1e-12, atol=1e-9)
        torch.testing.assert_close(found.covariance, torch.cov(features.T), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dimension", [1, 4, 24])
def test_equals_the_general_matrix_root(dimension: int) -> None:
    a = statistics_of(gaussian(1, 200, dimension))
    b = statistics_of(gaussian(2, 300, dimension, offset=0.3))
    root = scipy.linalg.sqrtm((a.covariance @ b.covariance).numpy())
    expected = (
        (a.mean - b.mean).square().sum()
        + a.covariance.trace()
        + b.covariance.trace()
        - 2 * np.trace(root).real
    )
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-8)


def test_closed_forms() -> None:
    a = gaussian(3, 100, 6)
    same = statistics_of(a)
    assert frechet_distance(same, same) == pytest.approx(0, abs=1e-8)
    moved = statistics_of(a + 2)
    assert frechet_distance(same, moved) == pytest.approx(6 * 2**2)
    # Commuting covariances: the distance of the standard deviations.
    scaled = statistics_of(a * 3)
    expected = 4 * same.covariance.trace() + 4 * same.mean.square().sum()
    assert frechet_distance(same, scaled) == pytest.approx(expected.item())
    assert frechet_distance(same, scaled) == pytest.approx(frechet_distance(scaled, same))


def test_a_singular_covariance_gives_a_finite_distance() -> None:
    flat = gaussian(4, 100, 6)
    flat[:, 3:] = flat[:, :3]
    a, b = statistics_of(flat), statistics_of(gaussian(5, 100, 6))
    assert 0 < frechet_distance(a, b) < float("inf")
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_too_few_samples_and_other_features_are_errors() -> None:
    enough = statistics_of(gaussian(0, 9, 8))
    with pytest.raises(ValueError, match="more than 8 samples, found 8"):
        frechet_distance(enough, statistics_of(gaussian(0, 8, 8)))
    with pytest.raises(ValueError, match="different networks"):
        frechet_distance(enough, statistics_of(gaussian(0, 9, 7)))
    with pytest.raises(ValueError, match="at least 2 samples"):
        _ = FeatureStatistics(3).covariance
    with pytest.raises(ValueError, match="not finite"):
        enough.update(torch.full((1, 8), torch.nan))
    with pytest.raises(ValueError, match=r"\(B, 8\)"):
        enough.update(torch.zeros(2, 3))


def test_round_trip_and_damage(tmp_path: Path) -> None:
    statistics = statistics_of(gaussian(0, 20, 4))
    path = tmp_path / "statistics.safetensors"
    statistics.save(path, {"data": "ten boots"})
    back, metadata = FeatureStatistics.load(path)
    assert metadata == {"data": "ten boots"}
    assert back.count == 20
    assert torch.equal(back.mean, statistics.mean)
    assert torch.equal(back.covariance, statistics.covariance)
    content = path.read_bytes()
    for broken in (content[:-1], content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"statistics\.safetensors"):
            FeatureStatistics.load(path)

"""The Fréchet distance between two sets of features, each taken as a Gaussian (Heusel et al. 2017, FID).

Legend: D features.
"""

import torch
from torch import Tensor

from vision.metrics.statistics import FeatureStatistics


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """Squared Fréchet distance ``|m_a - m_b|^2 + tr(S_a) + tr(S_b) - 2 tr((S_a S_b)^(1/2))``.

    ``S_a S_b`` has the eigenvalues of the symmetric ``S_a^(1/2) S_b S_a^(1/2)``, whose roots are summed: this
    is stable where a general matrix root is not, and never complex.

    Raises:
        ValueError: the dimensions differ, or one set has too few samples (fewer than D + 1 leave the
            covariance singular, and the distance then measures the number of samples).
    """
    if a.dimension != b.dimension:
        raise ValueError(
            f"features of {a.dimension} and {b.dimension} dimensions come from different networks"
        )
    for statistics in (a, b):
        if statistics.count <= statistics.dimension:
            raise ValueError(
                f"the Fréchet distance of {statistics.dimension} features needs more than "
                f"{statistics.dimension} samples, found {statistics.count}; draw more"
            )
    root = _square_root(a.covariance)
    cross = torch.linalg.eigvalsh(_symmetric(root @ b.covariance @ root)).clamp(min=0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * cross
    # Equal sets give zero up to rounding, which may fall below.
    return max(0.0, distance.item())


def _square_root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(_symmetric(covariance))
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T  # (D, D)


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.T) / 2

"""Mean and covariance of features, gathered batch by batch.

Legend: N samples so far, B samples of a batch, D features.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from vision.latents.tensor_file import DamagedFileError, read_tensors, write_tensors


class FeatureStatistics:
    """Streaming mean and covariance in float64.

    Batches are merged by their means and sums of squared deviations (Chan, Golub and LeVeque 1983), which
    keeps the digits that a sum of squares would lose.

    Args:
        dimension: D.

    Attributes:
        count: N.
        mean: float64, shape (D,).
        deviations: sum of outer products of the deviations from the mean, float64, shape (D, D).
    """

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.mean = torch.zeros(dimension, dtype=torch.float64)
        self.deviations = torch.zeros(dimension, dimension, dtype=torch.float64)

    @property
    def dimension(self) -> int:
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance, float64, shape (D, D); needs two samples."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 samples, found {self.count}")
        return self.deviations / (self.count - 1)

    def update(self, features: Tensor) -> None:
        """Adds samples.

        Args:
            features: any float type, shape (B, D).

        Raises:
            ValueError: another shape, or a value that is not finite.
        """
        if features.ndim != 2 or features.shape[1] != self.dimension:
            raise ValueError(
                f"expected features of shape (B, {self.dimension}), found {tuple(features.shape)}"
            )
        if not torch.isfinite(features).all():
            raise ValueError(
                "features hold a value that is not finite; the pictures or the network are broken"
            )
        if len(features) == 0:
            return
        values = features.detach().cpu().double()
        batch = FeatureStatistics(self.dimension)
        batch.count, batch.mean = len(values), values.mean(0)
        centred = values - batch.mean
        batch.deviations = centred.T @ centred
        self.merge(batch)

    def merge(self, other: "FeatureStatistics") -> None:
        """Adds the samples of ``other``, of another process say."""
        if other.dimension != self.dimension:
            raise ValueError(f"statistics of {other.dimension} features do not fit those of {self.dimension}")
        total = self.count + other.count
        if total == 0:
            return
        step = other.mean - self.mean
        self.deviations = (
            self.deviations + other.deviations + torch.outer(step, step) * (self.count * other.count / total)
        )
        self.mean = self.mean + step * (other.count / total)
        self.count = total

    def save(self, path: Path | str, metadata: Mapping[str, str] | None = None) -> None:
        """Writes a safetensors file; ``metadata`` says of what and by which network, say."""
        tensors = {"mean": self.mean, "deviations": self.deviations, "count": torch.tensor(self.count)}
        write_tensors(Path(path), tensors, {**(metadata or {}), "kind": "feature statistics"})

    @classmethod
    def load(cls, path: Path | str) -> tuple["FeatureStatistics", dict[str, str]]:
        """Reads what :meth:`save` wrote: the statistics and their metadata.

        Raises:
            ValueError: the file is damaged or holds something else.
            FileNotFoundError: there is none.
        """
        tensors, metadata = read_tensors(Path(path))
        if metadata.pop("kind", None) != "feature statistics":
            raise DamagedFileError(f"{path} holds no feature statistics; compute them anew")
        statistics = cls(len(tensors["mean"]))
        statistics.count = int(tensors["count"])
        statistics.mean, statistics.deviations = tensors["mean"], tensors["deviations"]
        return statistics, metadata

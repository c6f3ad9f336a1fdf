"""A measure of several clips together.

Legend: N clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pooled:
    """A ratio of two sums over clips; a mean where all denominators are 1.

    Pooling keeps a clip with little in its denominator from ruling the mean of ratios.

    Attributes:
        numerators: float64, shape (N,).
        denominators: float64, shape (N,).
    """

    numerators: np.ndarray
    denominators: np.ndarray

    @classmethod
    def mean(cls, values: Sequence[float] | np.ndarray) -> "Pooled":
        """The mean of the values that are not NaN."""
        kept = np.asarray(values, np.float64)
        kept = kept[~np.isnan(kept)]
        return cls(kept, np.ones_like(kept))

    @property
    def count(self) -> int:
        """N."""
        return len(self.numerators)

    @property
    def value(self) -> float:
        """``sum(numerators) / sum(denominators)``; NaN for 0 / 0."""
        return _ratio(self.numerators.sum(), self.denominators.sum())

    @property
    def error(self) -> float:
        """Standard error by the jackknife, clips being independent; NaN with fewer than two."""
        n = self.count
        if n < 2:
            return float("nan")
        left = [
            _ratio(self.numerators.sum() - a, self.denominators.sum() - b)
            for a, b in zip(self.numerators, self.denominators, strict=True)
        ]
        return float(np.sqrt((n - 1) * np.var(left)))

    def facts(self) -> dict[str, float | int | None]:
        """Value, standard error and N, for JSON; None stands for NaN."""
        return {"value": _plain(self.value), "error": _plain(self.error), "count": self.count}


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else float("nan")


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None

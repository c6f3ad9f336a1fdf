"""Whether an adapter does anything that can be seen.

Legend: H height, W width.
"""

import warnings
from collections.abc import Sequence

from torch import Tensor

#: Mean change by an adapter, in levels of 255, below which nobody would see it.
LEAST_CHANGE = 0.5


def warn_of_little_change(before: Sequence[Tensor], after: Sequence[Tensor], adapter: str) -> float:
    """Warns where an adapter changes next to nothing of any picture.

    Args:
        before, after: what the base and the adapted network made of the same pictures, in [0, 1], each of
            shape (..., H, W); at least one.
        adapter: its name, for the warning.

    Returns:
        Mean absolute change of the picture that it changes most, in levels of 255.
    """
    change = max(255 * (a - b).abs().mean().item() for a, b in zip(after, before, strict=True))
    if change < LEAST_CHANGE:
        warnings.warn(
            f"{adapter} changes less than it should: {change:.2f} of 255 levels on average where it "
            f"changes most of {len(before)} pictures; train it longer or at a higher learning rate",
            stacklevel=2,
        )
    return change

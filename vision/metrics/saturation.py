"""How bright, contrasty and saturated pictures are, and when they have left what a reference draws.

A student that collapses shows it here first: its pictures burn out, fade, or lose their colours.

Legend: B pictures, C channels (1 grey, 3 red, green and blue), H height, W width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

#: 8-bit values up to the first and from the second on count as being at the ends of the range.
LOW, HIGH = 2, 253
#: How many times as many values as in the reference may lie at the ends, or fewer between them.
SATURATION_FACTOR = 3.0
#: How many of the reference's standard errors a mean may be away from the reference's.
STANDARD_ERRORS = 4.0
#: What a mean may always differ by, as a share of the range.
TOLERANCE = 0.02


def picture_statistics(pixels: Tensor) -> dict[str, Tensor]:
    """Statistics of each picture by itself.

    Args:
        pixels: uint8, shape (B, C, H, W).

    Returns:
        float64 tensors of shape (B,), each in [0, 1]:

        - "saturated": share of the values at the ends of the range, at most 2 or at least 253;
        - "mean": mean of the values over 255, the brightness;
        - "std": their standard deviation over 255, the contrast;
        - "colour", with three channels: standard deviation over the channels, averaged over the pixels, over
          255; 0 for grey.

    Raises:
        ValueError: another type or shape, or no picture.
    """
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or not pixels.numel():
        raise ValueError(
            f"expected uint8 pictures of shape (B, 1 or 3, H, W), found {pixels.dtype} of shape "
            f"{tuple(pixels.shape)}"
        )
    rows = []
    for picture in pixels:  # one at a time, since float64 takes eight times the memory
        values = picture.double() / 255  # (C, H, W)
        ends = (picture <= LOW) | (picture >= HIGH)
        row = {"saturated": ends.double().mean(), "mean": values.mean(), "std": values.std(correction=0)}
        if len(values) == 3:
            row["colour"] = values.std(0, correction=0).mean()
        rows.append(row)
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def standard_error(values: Tensor) -> float | None:
    """Standard error of the mean of B independent values, ``std / sqrt(B)``; None for a single one.

    Args:
        values: shape (B,).
    """
    return None if len(values) < 2 else float(values.std() / len(values) ** 0.5)


def allowed(name: str, mean: float, error: float | None) -> tuple[float, float] | None:
    """Where the mean of a statistic may lie, given the reference's mean m and its standard error e.

    - "saturated": at most ``3 m + 0.02``, and ``(1 - found) >= (1 - m) / 3``. The second matters for a
      reference whose backgrounds are black or white. Less is never wrong.
    - other names: within ``4 e + 0.02`` of m. One picture has no standard error, so there is no such range.

    Args:
        name: as :func:`picture_statistics` calls it.
        mean: m.
        error: e.

    Returns:
        lowest and highest value, or None where there is no range.
    """
    if name == "saturated":
        return 0.0, min(SATURATION_FACTOR * mean + TOLERANCE, 1 - (1 - mean) / SATURATION_FACTOR)
    if error is None:
        return None
    reach = STANDARD_ERRORS * error + TOLERANCE
    return mean - reach, mean + reach


def departures(
    found: Mapping[str, float], means: Mapping[str, float], errors: Mapping[str, float | None]
) -> dict[str, tuple[float, float]]:
    """Statistics that lie outside the range that :func:`allowed` gives them, with that range.

    Args:
        found: means over the pictures that are judged, by name.
        means: means over the reference's pictures; a name that only one of the two has is not judged.
        errors: the reference's standard errors.
    """
    outside = {}
    for name, value in found.items():
        limits = allowed(name, means[name], errors[name]) if name in means else None
        if limits is not None and not limits[0] <= value <= limits[1]:
            outside[name] = limits
    return outside

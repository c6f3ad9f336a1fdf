"""What a run's log says about its health. Notes for the user, never a stop.

All of it follows from the log and the reference's statistics, so that a resumed run says what an unbroken
one says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch

from train.previews import Pictures
from vision.media import Curve, curves_of, to_tensor
from vision.metrics import departures, picture_statistics, standard_error

PREVIEW = "preview/"
CLIPPED = "clipped/"
#: A curve with fewer records is not judged: its start says little.
_LEAST_RECORDS = 30
#: The last third of a curve rises when it is more than so many times the lowest third, and the second third.
_RISE, _STILL_RISING = 2.0, 1.2


@dataclass(frozen=True)
class Reference:
    """Statistics of pictures that previews are compared to; see :mod:`vision.metrics.saturation`.

    Attributes:
        means: over the pictures, by name.
        errors: standard errors of the means; None with a single picture.
    """

    means: dict[str, float]
    errors: dict[str, float | None]

    @classmethod
    def of(cls, pictures: Pictures) -> "Reference":
        """The statistics of pictures."""
        statistics = _statistics(pictures)
        return cls(
            {name: float(values.mean()) for name, values in statistics.items()},
            {name: standard_error(values) for name, values in statistics.items()},
        )


@dataclass(frozen=True)
class Health:
    """What :func:`examine` found.

    Attributes:
        notes: sentences by what they are about: "previews" or the name of a curve.
        previews: step and means of each preview and, with a reference, which of them are "outside".
        last_good: step of the latest preview that is inside the reference's range; None without one.
    """

    notes: dict[str, str]
    previews: list[dict[str, Any]]
    last_good: int | None


def preview_values(pictures: Pictures) -> dict[str, float]:
    """What is logged of a preview: the means of its pictures' statistics."""
    return {f"{PREVIEW}{name}": float(values.mean()) for name, values in _statistics(pictures).items()}


def examine(records: Sequence[Mapping[str, Any]], reference: Reference | None, since: int = 0) -> Health:
    """Judges a run by its log.

    Noted are

    - previews that have left the reference's range (see :func:`vision.metrics.saturation.allowed`), as long
      as the latest one is outside;
    - a fake score's loss or a gap between real and fake score that rises: of at least 30 records, the last
      third's mean is more than twice the lowest third's, and more than 1.2 times the second third's. The gap
      of a healthy run rises too, but only while networks that began as one part.

    Args:
        records: of the log.
        reference: what previews are compared to; None compares them to nothing.
        since: previews up to this step were of something else than the reference.
    """
    previews, limits = [], {}
    for record in records:
        found = {name.removeprefix(PREVIEW): record[name] for name in record if name.startswith(PREVIEW)}
        if not found:
            continue
        entry: dict[str, Any] = {"step": record["step"], **found}
        if reference is not None and record["step"] > since:
            limits = departures(found, reference.means, reference.errors)
            entry["outside"] = list(limits)
        previews.append(entry)

    judged = [entry for entry in previews if "outside" in entry]
    last_good = max((entry["step"] for entry in judged if not entry["outside"]), default=None)
    notes = {}
    if limits:
        latest = judged[-1]
        outside = ", ".join(
            f"{name} {latest[name]:.2f} (expected {low:.2f} to {high:.2f})"
            for name, (low, high) in limits.items()
        )
        good = "no preview was inside" if last_good is None else f"last good: step {last_good}"
        notes["previews"] = f"the preview of step {latest['step']} is unlike the teacher's: {outside}; {good}"
    curves = curves_of(records)
    for name, curve in {**fake_losses(curves), **gaps(curves)}.items():
        rise = _rise(curve)
        if rise is not None:
            notes[name] = f"{name} rises: {rise[0]:.3g} in the lowest third of the run, now {rise[1]:.3g}"
    return Health(notes, previews, last_good)


def fake_losses(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """Of a log's curves the losses of the fake score, which not every method has."""
    return {name: curve for name, curve in curves.items() if name.startswith("loss/fake")}


def gaps(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """Of a log's curves the gaps between real and fake score: the parts of losses called ``gap_...``."""
    return {name: curve for name, curve in curves.items() if name.split("/")[-1].startswith("gap_")}


def _rise(curve: Curve) -> tuple[float, float] | None:
    """Means of the lowest and the last third of a curve that rises; None for others."""
    values = [value for _, value in curve]
    if len(values) < _LEAST_RECORDS:
        return None
    first, second, last = (
        fmean(values[len(values) * third // 3 : len(values) * (third + 1) // 3]) for third in range(3)
    )
    lowest = min(first, second)
    return (lowest, last) if last > _RISE * lowest and last > _STILL_RISING * second else None


def _statistics(pictures: Pictures) -> dict[str, torch.Tensor]:
    return picture_statistics(torch.stack([to_tensor(image) for image in pictures.images]))

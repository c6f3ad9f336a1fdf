"""What the table of infer.dehaze says of each picture, before and after.

Legend: H height, W width.
"""

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vision.metrics.entropy import entropy
from vision.metrics.fog import SMALLEST, fog_density
from vision.metrics.similarity import psnr, ssim
from vision.whole_file import written_aside


def _fog(pixels: Tensor) -> float:
    """FADE; no number for pictures that are smaller than it can judge."""
    return fog_density(2 * pixels - 1) if min(pixels.shape[1:]) >= SMALLEST else math.nan


#: Of pixels (3, H, W) in [0, 1]. Each gives two columns, ``NAME_before`` and ``NAME_after``: fog density by
#: FADE (less is clearer), entropy in bits, and the deviation of the brightness.
MEASURES: Mapping[str, Callable[[Tensor], float]] = {
    "fog": _fog,
    "entropy": lambda pixels: entropy(2 * pixels - 1),
    "contrast": lambda pixels: pixels.mean(0).std(correction=0).item(),
}
#: Longest side of what is measured; larger pictures are reduced, so that 100 megapixels cost what one costs.
SIDE = 1024
_SSIM_WINDOW = 11


def measure(before: Tensor, after: Tensor) -> dict[str, float]:
    """All measures of a picture, and its mean absolute change.

    Args:
        before, after: pixels in [0, 1], shape (1, 3, H, W), no side longer than :data:`SIDE`.
    """
    facts = {"change": (after - before).abs().mean().item()}
    for name, function in MEASURES.items():
        facts |= {f"{name}_before": function(before[0]), f"{name}_after": function(after[0])}
    return {name: round(value, 6) for name, value in facts.items()}


def similarity(clear: Tensor, before: Tensor, after: Tensor) -> dict[str, float]:
    """PSNR in dB and SSIM of a picture before and after, beside its clear version.

    Args:
        clear, before, after: pixels in [0, 1], shape (1, 3, H, W), no side longer than :data:`SIDE`.

    Returns:
        ``psnr_before``, ``psnr_after``, ``ssim_before``, ``ssim_after``; SSIM is no number for pictures
        that are smaller than its window.
    """
    facts = {}
    for when, pixels in (("before", before), ("after", after)):
        facts[f"psnr_{when}"] = psnr(clear, pixels, 1.0).item()
        wide = min(clear.shape[2:]) >= _SSIM_WINDOW
        facts[f"ssim_{when}"] = ssim(clear, pixels, 1.0).item() if wide else math.nan
    return {name: round(value, 6) for name, value in facts.items()}


def write_table(records: Mapping[str, dict[str, Any]], path: Path) -> Path:
    """Writes ``FILE`` with a row for each record, whole or not at all."""
    fields = ["file", "height", "width", "frames"]
    columns = fields + sorted({name for record in records.values() for name in record["measures"]})
    with written_aside(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        for _, record in sorted(records.items()):
            table.writerow({name: record[name] for name in fields} | record["measures"])
    return path

"""Held-out pictures through a dehazing pipeline: rows for previews and sheets, and what is measured on them.

Legend: H height, W width.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from train.data.haze_pictures import HazePictures, Sample
from train.previews import Pictures, Preview
from vision.cards.dehaze_card import MEASURES_FILE
from vision.dehaze.pipeline import DehazePipeline
from vision.media import image_grid, to_image, write_image
from vision.metrics import entropy, fog_density, psnr, ssim
from vision.metrics.fog import SMALLEST

SHEET_FILE = "before_after.png"


def shown_samples(pictures: HazePictures, count: int, side: int) -> list[Sample]:
    """Up to ``count`` of the pictures, evenly spaced, each the middle square of ``side`` pixels.

    A picture with a shorter side is enlarged first. Float32 in [0, 1], (3, side, side).
    """
    numbers = np.linspace(0, len(pictures) - 1, min(count, len(pictures))).round().astype(int)
    return [
        {name: _middle(pixels.float() / 255, side) for name, pixels in pictures[int(number)].items()}
        for number in numbers
    ]


def cleared(
    pipeline: DehazePipeline, samples: Sequence[Sample], network: nn.Module | None = None
) -> list[Tensor]:
    """What the pipeline makes of the hazy pictures, on the CPU, the same noise each time.

    Args:
        pipeline: draws as a user would.
        samples: from :func:`shown_samples`.
        network: in the place of the pipeline's own.
    """
    own = pipeline.network
    pipeline.network = own if network is None else network
    try:
        return [
            pipeline(sample["hazy"][None], generator=torch.Generator().manual_seed(0), output_type="pt")
            .images[0]
            .float()
            .cpu()
            for sample in samples
        ]
    finally:
        pipeline.network = own


def measures(samples: Sequence[Sample], results: Sequence[Tensor]) -> dict[str, float]:
    """Means over the pictures: fog density (FADE), entropy and, of pairs, PSNR and SSIM."""
    values: dict[str, list[float]] = {"fog": [], "entropy": []}
    for sample, clear in zip(samples, results, strict=True):
        if min(clear.shape[1:]) >= SMALLEST:
            values["fog"].append(fog_density(2 * clear - 1))
        values["entropy"].append(entropy(2 * clear - 1))
        if "clear" in sample:
            values.setdefault("psnr", []).append(float(psnr(sample["clear"][None], clear[None], 1.0)[0]))
            values.setdefault("ssim", []).append(float(ssim(sample["clear"][None], clear[None], 1.0)[0]))
    return {name: fmean(found) for name, found in values.items() if found}


def rows_of(samples: Sequence[Sample], *results: Sequence[Tensor]) -> list[list[Image.Image]]:
    """A row for each picture: hazy, each result, and clear where it is known."""
    rows = []
    for number, sample in enumerate(samples):
        shown = [sample["hazy"], *(result[number] for result in results)]
        if "clear" in sample:
            shown.append(sample["clear"])
        rows.append([to_image(2 * pixels - 1) for pixels in shown])
    return rows


def dehaze_preview(
    pipeline: DehazePipeline, samples: Sequence[Sample], name: str, before: Sequence[Tensor] | None = None
) -> Preview:
    """Rows of hazy, (before,) now and clear pictures; what is measured is logged as ``held_out/...``.

    Args:
        pipeline: with the settings that a user will have.
        samples: from :func:`shown_samples`.
        name: of the network that draws.
        before: what the base made of them.
    """
    first = [] if before is None else [before]

    def draw(step: int, networks: dict[str, nn.Module]) -> Pictures:
        now = cleared(pipeline, samples, networks[name])
        rows = rows_of(samples, *first, now)
        found = {f"held_out/{measure}": value for measure, value in measures(samples, now).items()}
        return Pictures([image for row in rows for image in row], len(rows[0]), found)

    return Preview(draw)


def write_measures(
    folder: Path, samples: Sequence[Sample], results: Mapping[str, Sequence[Tensor]], loss: str
) -> list[dict[str, Any]]:
    """Writes ``measures.json``, which a model's card reads, with what the loss rests on.

    Returns a record for the hazy pictures and for each of the results by name.
    """
    shown = {"hazy": [sample["hazy"] for sample in samples], **results}
    records = [{"pictures": name, **measures(samples, found)} for name, found in shown.items()]
    told = {"loss": loss, "count": len(samples), "records": records}
    (folder / MEASURES_FILE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return records


def write_sheet(folder: Path, samples: Sequence[Sample], results: Mapping[str, Sequence[Tensor]]) -> None:
    """Draws ``before_after.png``: hazy, each result by its name, and clear where it is known."""
    names = ["hazy", *results, *(["clear"] if "clear" in samples[0] else [])]
    write_image(image_grid(rows_of(samples, *results.values()), column_labels=names), folder / SHEET_FILE)


def table_of(records: Sequence[Mapping[str, Any]]) -> str:
    """The records as a table for the screen."""
    names = list(records[0])
    rows = [names, *([_cell(record[name]) for name in names] for record in records)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(names))]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _middle(pixels: Tensor, side: int) -> Tensor:
    height, width = pixels.shape[1:]
    if min(height, width) < side:
        scale = side / min(height, width)
        size = [max(side, round(height * scale)), max(side, round(width * scale))]
        pixels = F.interpolate(pixels[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)
        height, width = size
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[:, top : top + side, left : left + side]

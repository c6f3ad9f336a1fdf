"""Clears the files of infer.dehaze one by one.

Legend: H height, W width.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from infer.dehaze_clear import ClearVersions, Similarity
from infer.dehaze_files import SHEET_NAME, Source, find_sources
from infer.dehaze_ledger import DehazeLedger
from infer.dehaze_measures import SIDE, measure, write_table
from infer.dehaze_model import load_dehazer, model_settings, put_adapter
from infer.dehaze_options import DehazeOptions
from infer.dehaze_sheet import write_sheet
from vision import DehazePipeline
from vision.media import UnreadableImageError, UnreadableVideoError
from vision.media.photograph import Photograph, read_photograph
from vision.media.rewrite import rewrite_video


@dataclass(frozen=True)
class DehazeOutcome:
    """What a job did, for its last lines on the screen.

    Attributes:
        made: files cleared now.
        kept: files that were there.
        unreadable: what is wrong with each file that could not be read.
        others: files that are neither pictures nor videos.
        sheet: path of before_after.png, if there is one.
        table: path of dehaze.csv, if there is one.
        similarity: of the pictures whose clear versions are known, where any were given.
    """

    made: int
    kept: int
    unreadable: list[str]
    others: list[Path]
    sheet: Path | None
    table: Path | None
    similarity: Similarity | None = None


def dehaze_files(options: DehazeOptions) -> DehazeOutcome:
    """Clears what the command line asks for, except what is there; a file that cannot be read is named.

    Raises:
        ValueError: input, output, model, adapter or settings that are wrong; results of other settings.
    """
    sources, others = find_sources(options.input, options.output, options.sheet > 0)
    clear_versions = None if options.clear is None else ClearVersions(options.clear, sources)
    pipeline = load_dehazer(options)
    if options.smooth_airlight and not pipeline.has_airlight:
        raise ValueError(
            f"--smooth-airlight needs a network that estimates the haze's colour, which "
            f"{type(pipeline.lora_network).__name__} does not; leave it out"
        )
    ledger = DehazeLedger(options.output, model_settings(pipeline, options))
    put_adapter(pipeline, options, sources)
    missing = [source for source in sources if not ledger.is_made(source, options.overwrite)]
    unreadable = []
    for source in tqdm(missing, "clearing", unit="file", disable=len(missing) < 2):
        try:
            clear = _clear_video if source.is_video else _clear_picture
            ledger.add(source, clear(pipeline, options, source))
        except (UnreadableImageError, UnreadableVideoError) as error:
            unreadable.append(str(error))
    similarity = None if clear_versions is None else clear_versions.compare(ledger)
    records = {
        source.name: ledger.records[source.name] for source in sources if source.name in ledger.records
    }
    return DehazeOutcome(
        made=len(missing) - len(unreadable),
        kept=len(sources) - len(missing),
        unreadable=unreadable,
        others=others,
        sheet=write_sheet(sources, records, options.output / SHEET_NAME, options.sheet),
        table=write_table(records, options.output / "dehaze.csv") if records else None,
        similarity=similarity,
    )


def _clear_picture(pipeline: DehazePipeline, options: DehazeOptions, source: Source) -> dict[str, Any]:
    photograph = read_photograph(source.path)
    clear = photograph.blank()
    height, width = photograph.color.shape[:2]
    top = 0
    for band in pipeline.bands(
        photograph.rows,
        height,
        width,
        airlight=pipeline.airlight(photograph.reduced(SIDE)),
        **_call_options(options),
    ):
        clear.write_rows(top, band)
        top += band.shape[2]
    clear.save(source.target)
    return _facts(photograph, clear, None)


def _clear_video(pipeline: DehazePipeline, options: DehazeOptions, source: Source) -> dict[str, Any]:
    airlight: Tensor | None = None
    first: tuple[Tensor, Tensor] | None = None

    def change(frame: Tensor) -> Tensor:
        nonlocal airlight, first
        pixels = frame[None].float() / 255
        found = pipeline.airlight(pixels)
        if found is not None and airlight is not None:
            found = options.smooth_airlight * airlight + (1 - options.smooth_airlight) * found
        airlight = found
        # The same noise for each frame, which would flicker otherwise.
        bands = pipeline.bands(
            lambda top, bottom: pixels[..., top:bottom, :],
            *pixels.shape[-2:],
            airlight=airlight,
            **_call_options(options),
        )
        clear = (255 * torch.cat(list(bands), 2)[0]).round().to("cpu", torch.uint8)
        first = (frame, clear) if first is None else first
        return clear

    frames = rewrite_video(source.path, source.target, change)
    assert first is not None
    before, after = (Photograph(frame.permute(1, 2, 0).numpy(), None, "PNG") for frame in first)
    return _facts(before, after, frames)


def _call_options(options: DehazeOptions) -> dict[str, Any]:
    return {
        "num_inference_steps": options.steps,
        "tile": options.tile,
        "overlap": options.overlap,
        # On the CPU, so that the noise is the same on every device.
        "generator": torch.Generator("cpu").manual_seed(options.seed),
    }


def _facts(before: Photograph, after: Photograph, frames: int | None) -> dict[str, Any]:
    height, width = before.color.shape[:2]
    measures = measure(before.reduced(SIDE), after.reduced(SIDE))
    return {"height": height, "width": width, "frames": frames, "measures": measures}

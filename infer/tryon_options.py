"""The command line of infer.tryon. Imports nothing heavy."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vision.command_line import at_least_one, finite, height_x_width


@dataclass(frozen=True)
class TryOnOptions:
    """What the command line of ``infer.tryon`` says; see its ``--help``."""

    model: str
    index: Path
    out: Path
    vivid: Path | None
    inverted: bool
    split: str | None
    unpaired: bool
    limit: int | None
    size: tuple[int, int] | None
    steps: int | None
    guidance_scale: float | None
    conditioning_scale: float
    negative_prompt: str | None
    repaint: bool
    window_frames: int | None
    window_overlap: int | None
    seed: int
    alone: bool
    overwrite: bool
    dtype: str | None
    device: str | None


def parse_tryon_options(argv: Sequence[str] | None) -> TryOnOptions:
    """Reads the command line; a mistake ends the program with a message and exit status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m infer.tryon",
        description="Dresses the people of an index of samples, a video each, with a strip of frames. Each "
        "video depends on the seed and its sample alone, not on the number of processes. The same command "
        "goes on where an earlier one stopped.",
    )
    add = parser.add_argument
    add("--model", required=True, help="folder of a TryOnPipeline, or hub id")
    add(
        "--index",
        required=True,
        type=Path,
        metavar="FILE",
        help="a line of JSON a sample (docs/tryon.md), or the folder of a data set; python -m "
        "infer.prepare_tryon makes one of your own video",
    )
    add("--out", required=True, type=Path, metavar="DIR", help="folder of the videos, named after samples")
    add("--vivid", type=Path, metavar="LIST", help="a list of ViViD; --index is the root of its data then")
    add("--inverted", action="store_true", help="ViViD's masks are black inside")
    add("--split", help="only samples of this split")
    add("--unpaired", action="store_true", help="put on each sample's unpaired_garment")
    add("--limit", type=at_least_one, metavar="N", help="only the first N samples")
    add("--size", type=height_x_width, metavar="HxW", help="scale and cut all videos; default as they are")
    add("--steps", type=at_least_one, metavar="N", help="sampling steps; default the model's own")
    add("--guidance-scale", type=finite, metavar="S", help="1 is none; default the model's own")
    add("--conditioning-scale", type=finite, default=1.0, metavar="S", help="of the context; default 1")
    add("--negative-prompt", metavar="TEXT", help="default the model's own")
    add("--repaint", action="store_true", help="show the filmed video outside of the mask")
    add("--window-frames", type=at_least_one, metavar="F", help="default the model's own")
    add("--window-overlap", type=at_least_one, metavar="F", help="default the model's own")
    add("--seed", type=int, default=0, help="default 0")
    add("--alone", action="store_true", help="write what is made alone, not beside the filmed video")
    add("--overwrite", action="store_true", help="make videos anew that were made with other settings")
    add("--dtype", choices=("float32", "bfloat16", "float16"), help="default bfloat16 on CUDA, else float32")
    add("--device", help="cpu, cuda, cuda:1, mps, ...; default the best there is")
    options = parser.parse_args(argv)
    if options.inverted and options.vivid is None:
        parser.error("--inverted is for --vivid; masks of an index are white where pixels are generated")
    if options.vivid is not None and (options.split is not None or options.unpaired):
        parser.error("a list of --vivid has one split and its garments; leave --split and --unpaired out")
    return TryOnOptions(**vars(options))

"""The command line of infer.dehaze. Imports nothing heavy."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vision.command_line import at_least_one, not_negative

#: The embedded dehazer.
MODEL = Path(__file__).parents[1] / "checkpoints" / "dehaze-dea-net"


@dataclass(frozen=True)
class DehazeOptions:
    """What the command line of ``infer.dehaze`` says; see its ``--help``."""

    input: Path
    output: Path
    model: str
    weights: Path | None
    adapter: Path | None
    clear: Path | None
    merge: bool
    tile: int | None
    overlap: int | None
    steps: int | None
    smooth_airlight: float
    seed: int
    sheet: int
    overwrite: bool
    dtype: str | None
    device: str | None


def parse_dehaze_options(argv: Sequence[str] | None) -> DehazeOptions:
    """Reads the command line; a mistake ends the program with a message and exit status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m infer.dehaze",
        description="Clears hazy photographs and videos. Names, formats, depth, transparency, colour "
        "profiles and camera data stay as they are. The same command goes on where an earlier one stopped.",
    )
    add = parser.add_argument
    add("--input", required=True, type=Path, metavar="PATH", help="a file, or a folder with all below it")
    add("--output", required=True, type=Path, metavar="DIR", help="folder that is not in the input folder")
    add(
        "--model",
        default=str(MODEL),
        help="folder of a DehazePipeline, hub id, or package.module:factory of your own network; default the "
        "embedded DEA-Net",
    )
    add("--weights", type=Path, metavar="FILE", help="safetensors file of your own network's weights")
    add("--adapter", type=Path, metavar="FILE", help="adapter that was made for this model")
    add(
        "--clear",
        type=Path,
        metavar="DIR",
        help="clear versions, ID.png of ID_anything.png: PSNR and SSIM stand in the table",
    )
    add("--merge", action="store_true", help="add the adapter to the weights first: as fast as without it")
    add("--tile", type=at_least_one, metavar="PIXELS", help="side of a tile; default the model's own, 512")
    add(
        "--overlap", type=at_least_one, metavar="PIXELS", help="that tiles share; default the model's own, 64"
    )
    add("--steps", type=at_least_one, metavar="N", help="of a flow; default the model's own")
    add(
        "--smooth-airlight",
        type=float,
        default=0.0,
        metavar="S",
        help="in videos, how much of the haze's colour stays from frame to frame, from 0 to below 1, for "
        "networks that estimate it; default 0",
    )
    add("--seed", type=int, default=0, help="of a flow's noise; default 0")
    add(
        "--sheet",
        type=not_negative,
        default=12,
        metavar="N",
        help="pictures on before_after.png; default 12, 0 for none",
    )
    add("--overwrite", action="store_true", help="clear anew what was cleared with other settings")
    add("--dtype", choices=("float32", "bfloat16", "float16"), help="default bfloat16 on CUDA, else float32")
    add("--device", help="cpu, cuda, cuda:1, mps, ...; default the best there is")
    options = DehazeOptions(**vars(parser.parse_args(argv)))
    if options.merge and options.adapter is None:
        parser.error("--merge needs --adapter FILE")
    if (":" in options.model) != (options.weights is not None):
        parser.error("--model package.module:factory and --weights FILE belong together")
    if not 0 <= options.smooth_airlight < 1:
        parser.error(
            f"--smooth-airlight is {options.smooth_airlight:g}, expected 0 up to below 1, such as 0.9"
        )
    return options

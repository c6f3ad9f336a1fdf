"""The command line of infer.world. Imports nothing heavy."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vision.command_line import at_least_one


@dataclass(frozen=True)
class WorldOptions:
    """What the command line of ``infer.world`` says; see its ``--help``."""

    model: str
    frames: list[Path]
    actions: list[Path]
    out: Path
    max_frames: int | None
    steps: int | None
    action_guidance_scale: float | None
    forward_sign: int
    seed: int
    overlay: bool
    beside: bool
    overwrite: bool
    dtype: str | None
    device: str | None


def parse_world_options(argv: Sequence[str] | None) -> WorldOptions:
    """Reads the command line; a mistake ends the program with a message and exit status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m infer.world",
        description="Shows what follows from first frames and tables of gamepad telemetry, a clip each. A "
        "causal world makes its clips part by part. Each clip depends on the seed, its first frame and its "
        "table alone. The same command goes on where an earlier one stopped.",
    )
    add = parser.add_argument
    add("--model", required=True, help="folder of a WorldPipeline, or hub id")
    add(
        "--frames",
        required=True,
        nargs="+",
        type=Path,
        metavar="FILE",
        help="first frames: pictures, or .mp4 files of which the first frame is taken; one for all "
        "tables or one each",
    )
    add(
        "--actions",
        required=True,
        nargs="+",
        type=Path,
        metavar="FILE",
        help="tables of telemetry as in CrossFPS (.parquet), a row a frame; one for all frames or one each",
    )
    add("--out", required=True, type=Path, help="an .mp4 file for one clip, a folder for one or many")
    add("--max-frames", type=at_least_one, metavar="T", help="of a clip; default a frame for each row")
    add("--steps", type=at_least_one, metavar="N", help="sampling steps; default the model's own")
    add(
        "--action-guidance-scale",
        type=float,
        metavar="L",
        help="above 1 amplifies what actions do, 1 is no guidance; default the model's own",
    )
    add(
        "--forward-sign",
        type=int,
        choices=(-1, 1),
        default=-1,
        help="sign of the left stick's Y that walks forward in the tables; default -1",
    )
    add("--seed", type=int, default=0, help="default 0")
    add("--overlay", action="store_true", help="draw sticks and buttons below the frames")
    add(
        "--beside",
        action="store_true",
        help="show the video that --frames names to the left of what is made of its first frame",
    )
    add("--overwrite", action="store_true", help="make clips anew that were made with other settings")
    add("--dtype", choices=("float32", "bfloat16", "float16"), help="default bfloat16 on CUDA, else float32")
    add("--device", help="cpu, cuda, cuda:1, mps, ...; default the best there is")
    options = WorldOptions(**vars(parser.parse_args(argv)))
    counts = {len(options.frames), len(options.actions)} - {1}
    if len(counts) > 1:
        parser.error(
            f"found {len(options.frames)} first frames and {len(options.actions)} tables of actions; give as "
            "many of both, or one of either"
        )
    if options.beside and (pictures := [path for path in options.frames if path.suffix.lower() != ".mp4"]):
        parser.error(f"--beside shows a video, and --frames names {pictures[0]}; give an .mp4 file")
    if counts and options.out.suffix == ".mp4":
        parser.error(f"--out {options.out} is one file for {counts.pop()} clips; give a folder")
    return options

"""The command line of infer.play. Imports nothing heavy."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PlayOptions:
    """What the command line of ``infer.play`` says; see its ``--help``."""

    model: str
    frames: list[Path]
    out: Path
    host: str
    port: int
    dtype: str | None
    device: str | None


def parse_play_options(argv: Sequence[str] | None) -> PlayOptions:
    """Reads the command line; a mistake ends the program with a message and exit status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m infer.play",
        description="Serves a page on which a causal world is played with keyboard, mouse or gamepad, and "
        "recorded. One player at a time. Ctrl-C ends it.",
    )
    add = parser.add_argument
    add("--model", required=True, help="folder of a causal WorldPipeline, or hub id")
    add(
        "--frames",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="first frames to choose from: pictures, .mp4 files of which the first frame is taken, or "
        "folders of both; default the model's own, in its folder examples/. The page takes uploads too",
    )
    add("--out", type=Path, default=Path("outputs/play"), help="folder of recordings; default outputs/play")
    add("--host", default="127.0.0.1", help="address to listen on; default this machine alone")
    add("--port", type=_port, default=8000, help="0 takes a free one; default 8000")
    add("--dtype", choices=("float32", "bfloat16", "float16"), help="default bfloat16 on CUDA, else float32")
    add("--device", help="cpu, cuda, cuda:1, mps, ...; default the best there is")
    return PlayOptions(**vars(parser.parse_args(argv)))


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value < 65536:
        raise argparse.ArgumentTypeError(f"found {text}, expected 0 to 65535")
    return value

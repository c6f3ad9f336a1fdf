"""Shows what infer.tryon made of several samples on one sheet and in one video.

python -m infer.tryon_sheet --index outputs/fitting --videos outputs/dressed --out outputs/dressed/sheet.png
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vision.command_line import at_least_one, exit_status


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m infer.tryon_sheet",
        description="Draws a sheet of garments and frames, a bar below the frames of actions, and a video of "
        "all side by side. What was filmed stands once above all garments that it was dressed in.",
    )
    add = parser.add_argument
    add("--index", required=True, type=Path, metavar="FILE", help="the index that infer.tryon was given")
    add("--videos", required=True, type=Path, metavar="DIR", help="its --out, made with --alone")
    add("--out", required=True, type=Path, metavar="PNG", help="sheet to write; the video lies beside it")
    add("--split", help="only samples of this split, as infer.tryon was given it")
    add("--limit", type=at_least_one, metavar="N", help="only the first N samples, likewise")
    options = parser.parse_args(argv)
    return exit_status(lambda: _write(**vars(options)))


def _write(**options: Any) -> None:
    from infer.tryon_overview import write_sheet

    write_sheet(**options)


if __name__ == "__main__":
    raise SystemExit(main())

"""Finds the clips of a data set that cannot be used.

python -m vision.world.check DIR
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.media.bad_item import BadItemError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 1 where a clip is bad, 2 where there are none."""
    parser = argparse.ArgumentParser(
        prog="python -m vision.world.check",
        description="Reads every clip of a data set in the layout of CrossFPS and names those that are too "
        "short or unreadable, or that have wrong columns, another number of rows than frames, or values that "
        "are NaN or out of range. Exits with 1 where there are any.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set; clips at any depth")
    parser.add_argument("--frames", type=int, default=81, metavar="T", help="least length; default 81")
    options = parser.parse_args(argv)
    try:
        from vision.media.bad_item import report_bad_items
        from vision.world.crossfps import find_clips

        clips = find_clips(options.folder)
    except ModuleNotFoundError as error:
        print(f"error: {error}; install what reading needs: pip install -e '.[fps]'", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return report_bad_items(clips, lambda clip: _faults(clip, options.frames), "clip", options.folder)


def check_clip(folder: Path, frames: int = 81) -> None:
    """Reads all of a clip.

    Args:
        folder: of the clip.
        frames: how many it must have at least.

    Raises:
        vision.world.bad_clip.BadClipError: it cannot be used; the error's ``kind`` says why.
    """
    from vision.world.bad_clip import BadClipError
    from vision.world.crossfps import decoded, read_metadata, telemetry_path
    from vision.world.telemetry import read_telemetry

    rows = len(read_telemetry(telemetry_path(folder)).sticks)
    read_metadata(folder)
    shown = len(decoded(folder))
    if shown != rows:
        raise BadClipError("counts", f"{folder}: {rows} rows of controls for {shown} frames")
    if shown < frames:
        raise BadClipError("too short", f"{folder}: {shown} frames, expected at least {frames}")


def _faults(clip: Path, frames: int) -> Iterator["BadItemError"]:
    from vision.world.bad_clip import BadClipError

    try:
        check_clip(clip, frames)
    except BadClipError as error:
        yield error


if __name__ == "__main__":
    raise SystemExit(main())

"""Plays that somebody wrote down, on the real engine.

python -m vision.world.scripted configs/world/tour.json --out outputs/tour

A script is JSON: game, map, seed of the start, and stretches of held controls:

    {"game": "freedoom2", "map": "MAP04", "seed": 7,
     "stretches": [{"rows": 8, "LY": -1}, {"rows": 2, "fire": 1}, {"rows": 10}]}
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vision.world.gamepad import BUTTONS, STICKS

_CONTROLS = (*STICKS, *BUTTONS)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m vision.world.scripted",
        description="Plays a script on the engine and writes the clip in the layout of CrossFPS.",
    )
    parser.add_argument("script", type=Path, help="JSON with game, map, seed and stretches of controls")
    parser.add_argument("--out", required=True, type=Path, help="folder of the clip; made anew")
    parser.add_argument("--size", type=int, default=64, metavar="N", help="pixels of a side; default 64")
    options = parser.parse_args(argv)
    try:
        play_script(read_script(options.script), options.out, options.size)
    except ModuleNotFoundError as error:
        print(f"error: {error}; install the engine: pip install -e '.[fps]'", file=sys.stderr)
        return 2
    except (ValueError, RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"clip  {options.out}")
    return 0


def read_script(path: Path) -> dict[str, Any]:
    """The script in a file.

    Raises:
        ValueError: it is not JSON, or a field is missing or unknown.
    """
    try:
        script = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    expected = {"game", "map", "seed", "stretches"}
    if not isinstance(script, dict) or script.keys() != expected:
        found = ", ".join(sorted(script)) if isinstance(script, dict) else type(script).__name__
        raise ValueError(f"{path}: a script has {', '.join(sorted(expected))}; found {found}")
    return script


def scripted_rows(stretches: Sequence[Mapping[str, float]]) -> tuple[np.ndarray, np.ndarray]:
    """The rows of controls of a script.

    Args:
        stretches: ``rows`` says how long each is; controls that it does not name are at rest.

    Returns:
        sticks (T, 4) and buttons (T, 6), float32, in the order of :mod:`vision.world.gamepad`.

    Raises:
        ValueError: no rows, an unknown control, or a value that is out of range.
    """
    controls = []
    for number, stretch in enumerate(stretches):
        rows = stretch.get("rows")
        if not isinstance(rows, int) or rows < 1:
            raise ValueError(f"stretch {number}: rows is {rows!r}, expected a whole number from 1")
        if unknown := sorted(stretch.keys() - {"rows", *_CONTROLS}):
            raise ValueError(f"stretch {number}: {unknown[0]!r} is none of {', '.join(_CONTROLS)}")
        held = [stretch.get(name, 0) for name in _CONTROLS]
        for name, value in zip(_CONTROLS, held, strict=True):
            if not (value in (0, 1) if name in BUTTONS else -1 <= value <= 1):
                raise ValueError(
                    f"stretch {number}: {name} is {value!r}; sticks lie in [-1, 1], buttons are 0 or 1"
                )
        controls += [held] * rows
    if not controls:
        raise ValueError("the script has no stretches")
    table = np.array(controls, np.float32)
    return table[:, : len(STICKS)], table[:, len(STICKS) :]


def play_script(script: Mapping[str, Any], folder: Path, size: int = 64) -> None:
    """Plays a script and writes its clip.

    Args:
        script: see :func:`read_script`.
        folder: of the clip; replaced if it is there.
        size: height and width of the frames.

    Raises:
        ValueError: no such game, map or seed; controls as for :func:`scripted_rows`.
        RuntimeError: the level ended under the player.
    """
    from vision.world.clip_writer import write_clip
    from vision.world.engine import Engine

    sticks, buttons = scripted_rows(script["stretches"])
    with Engine(script["game"], height=size, width=size) as engine:
        footage = engine.play(script["map"], script["seed"], sticks, buttons)
    write_clip(folder, footage, sticks, buttons, {"script": dict(script), "frames": len(sticks)})


if __name__ == "__main__":
    raise SystemExit(main())

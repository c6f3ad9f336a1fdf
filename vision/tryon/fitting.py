"""One person of the studio tries on several garments, and one action happens early or late.

python -m vision.tryon.fitting configs/tryon/fitting.json --out outputs/fitting

A script is JSON: who wears which garment, which ones are tried on, what is done, in how many frames, from
which frames on, and the seed of motion and background:

    {"person": 11, "cut": "jacket", "worn": 3, "garments": [14, 41, 92],
     "action": "zip", "lasts": 8, "begins": [1, 9], "scene": 5}
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vision.command_line import exit_status


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m vision.tryon.fitting",
        description="Draws a person who handles a garment, a sample for each garment that is tried on and "
        "each time of the action, in the layout that infer.tryon reads: dress them with --unpaired.",
    )
    parser.add_argument("script", type=Path, help="JSON; see the head of vision/tryon/fitting.py")
    parser.add_argument("--out", required=True, type=Path, help="folder of the samples; made anew")
    options = parser.parse_args(argv)
    return exit_status(lambda: _draw(options.script, options.out))


def _draw(script: Path, out: Path) -> None:
    from vision.tryon.fitting_plans import draw_fitting, fitting_plans, read_fitting
    from vision.tryon.index import INDEX_NAME

    count = draw_fitting(fitting_plans(read_fitting(script)), out)
    print(f"{count} samples  {out / INDEX_NAME}")


if __name__ == "__main__":
    raise SystemExit(main())

"""From a raw video of a person and a picture of a garment to everything that try-on is conditioned on.

python -m infer.prepare_tryon --video in.mp4 --garment g.png --actions actions.json --out sample
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vision.command_line import at_least_one, height_x_width

if TYPE_CHECKING:
    from vision.tryon.preparing.mask import Part


@dataclass(frozen=True)
class PrepareOptions:
    """What the command line says; see its ``--help``."""

    video: Path
    garment: Path
    out: Path
    actions: Path | None = None
    caption: str | None = None
    part: "Part" = "upper"
    size: tuple[int, int] | None = None
    frames: int | None = None
    mask: Path | None = None
    mask_inverted: bool = False
    pose: Path | None = None
    hand: Path | None = None
    overwrite: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _parse(argv)
    try:
        from infer.tryon_preparation import prepare

        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
            prepare(options)
    except ModuleNotFoundError as error:
        print(f"error: {error}; install the estimators: pip install -e '.[tryon]'", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{'sample':10}{options.out}")
    print(f"{'overview':10}{options.out / 'contact_sheet.png'}")
    print(f"{'check':10}python -m vision.tryon.check {options.out}")
    return 0


def _parse(argv: Sequence[str] | None) -> PrepareOptions:
    parser = argparse.ArgumentParser(
        prog="python -m infer.prepare_tryon",
        description="Makes a try-on sample of a video: the agnostic video with its mask (white is generated, "
        "grey value 127), the pose, shaded hands, captions, a line of the index and an overview. Body, hands "
        "and outline are estimated offline; what is given with --mask, --pose or --hand is taken as it is.",
    )
    add = parser.add_argument
    add("--video", required=True, type=Path, metavar="FILE", help="of one person, frames of one size")
    add("--garment", required=True, type=Path, metavar="FILE", help="picture of the garment on white")
    add("--out", required=True, type=Path, metavar="DIR", help="folder of the sample")
    add(
        "--actions",
        type=Path,
        metavar="FILE",
        help='JSON: [{"start": first frame, "end": last frame, "label": text}, ...] with frames from 0, both '
        'ends inclusive, or {"caption": text, "actions": that list}',
    )
    add(
        "--caption", help="of the whole video; default that of the actions' file, else made from their labels"
    )
    add("--part", choices=("upper", "lower", "dress"), default="upper", help="what is worn; default upper")
    add(
        "--size",
        type=height_x_width,
        metavar="HxW",
        help="height x width, both multiples of 16; default the video's, rounded down to such",
    )
    add("--frames", type=at_least_one, metavar="N", help="at most so many; 4n + 1 are kept; default all")
    add(
        "--mask", type=Path, metavar="FILE", help="a mask video of your own, white where pixels are generated"
    )
    add("--mask-inverted", action="store_true", help="that mask is black where pixels are generated")
    add("--pose", type=Path, metavar="FILE", help="a pose video of your own, as of OpenPose or DWPose")
    add("--hand", type=Path, metavar="FILE", help="a video of rendered hands of your own, as of HaMeR")
    add("--overwrite", action="store_true", help="replace a sample that is there")
    options = PrepareOptions(**vars(parser.parse_args(argv)))
    if options.mask_inverted and options.mask is None:
        parser.error("--mask-inverted is about the file of --mask; give one")
    if options.size is not None and any(side % 16 for side in options.size):
        parser.error(f"--size {options.size[0]}x{options.size[1]}: expected multiples of 16, such as 768x576")
    return options


if __name__ == "__main__":
    raise SystemExit(main())

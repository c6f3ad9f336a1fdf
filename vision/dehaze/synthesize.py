"""Makes pairs of clear and hazy pictures from clear pictures with depth.

python -m vision.dehaze.synthesize --out outputs/haze
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vision.command_line import at_least_one, exit_status
from vision.dehaze.synthetic.domain import DOMAINS

if TYPE_CHECKING:
    from vision.dehaze.synthetic.scene import Scene

SHEET_NAME = "contact_sheet.png"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 1 where a scene cannot be read, 2 for a mistake."""
    options = _parse(argv)
    return exit_status(
        lambda: synthesize(
            options.out,
            options.rgbd,
            options.motorcycle or not (options.rgbd or options.photographs),
            options.domains,
            options.variants,
            options.test_share,
            options.seed,
            options.overwrite,
            photographs=options.photographs,
            brightness=options.brightness,
        ),
        whole="pairs",
    )


def synthesize(
    out: Path,
    rgbd: Sequence[Path] = (),
    motorcycle: bool = True,
    domains: Sequence[str] = tuple(DOMAINS),
    variants: int = 1,
    test_share: float = 0.0,
    seed: int = 0,
    overwrite: bool = False,
    *,
    photographs: Sequence[Path] = (),
    brightness: Sequence[float] | None = None,
) -> int:
    """Writes the pairs that are not there yet and a contact sheet, and says where all is.

    Args:
        out: folder of the data set.
        rgbd: folders with ``clear`` and ``depth`` in them.
        motorcycle: take scikit-image's photograph with measured depth as well.
        domains, variants, test_share, seed, overwrite: see
            :func:`vision.dehaze.synthetic.synthesis.write_pairs`.
        photographs: folders of clear pictures without depth, which is invented for them.
        brightness: least and greatest mean of a clear picture, to which each is brought; None leaves them.

    Returns:
        The exit status: 1 where a scene cannot be read, else 0.

    Raises:
        ValueError: as :func:`vision.dehaze.synthetic.synthesis.write_pairs`; ``out`` is one of the sources; a
            brightness that is no range in (0, 1).
    """
    from tqdm import tqdm

    from vision.dehaze.picture_files import find_pictures
    from vision.dehaze.synthetic.brightness import with_brightness
    from vision.dehaze.synthetic.haze_sheet import write_haze_sheet
    from vision.dehaze.synthetic.motorcycle import motorcycle_scene
    from vision.dehaze.synthetic.photograph_scene import read_photograph_scene
    from vision.dehaze.synthetic.rgbd_folder import find_rgbd, read_rgbd
    from vision.dehaze.synthetic.synthesis import write_pairs

    if same := [folder for folder in (*rgbd, *photographs) if folder.resolve() == out.resolve()]:
        raise ValueError(f"--out {same[0]} is a source as well; choose another folder")
    if brightness is not None and not 0 < brightness[0] <= brightness[1] < 1:
        told = " ".join(f"{value:g}" for value in brightness)
        raise ValueError(f"--brightness is {told}, expected a range in (0, 1), such as 0.3 0.55")
    scenes: list[Callable[[], Scene]] = [motorcycle_scene] if motorcycle else []
    for folder in rgbd:
        scenes += [partial(read_rgbd, *files) for files in find_rgbd(folder)]
    for folder in photographs:
        scenes += [partial(read_photograph_scene, picture, seed) for picture in find_pictures(folder)]
    if brightness is not None:
        limits = (brightness[0], brightness[1])
        scenes = [lambda read=read: with_brightness(read(), limits, seed) for read in scenes]
    bar = tqdm(scenes, "adding haze", unit="scene", disable=len(scenes) < 2)
    written = write_pairs(bar, out, domains, variants, test_share, seed, overwrite)
    write_haze_sheet(written.shown, out / SHEET_NAME)
    print(f"{written.made} pairs made, {written.kept} were there already")
    for split in ("train", "test"):
        if (out / split).is_dir():
            print(
                f"{split:16}{out / split} ({len(list((out / split / 'hazy').glob('*.png')))} hazy pictures)"
            )
    print(f"{'overview':16}{out / SHEET_NAME}")
    if written.bad:
        told = "\n  ".join(written.bad)
        print(f"{len(written.bad)} of {len(scenes)} scenes cannot be read:\n  {told}", file=sys.stderr)
    return 1 if written.bad else 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vision.dehaze.synthesize",
        description="Adds haze to clear pictures of known depth by the scattering model, and keeps "
        "transmission and airlight as truth, in RESIDE's layout. Without a source it takes scikit-image's "
        "photograph of a motorcycle. The same command goes on where an earlier one stopped.",
    )
    add = parser.add_argument
    add("--out", required=True, type=Path, help="folder for <split>/{hazy,clear,truth} and contact_sheet.png")
    add(
        "--rgbd",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="folders with clear/NAME.png and depth/NAME.png (8 or 16 bits, .tiff or .npy; any unit, 0 where "
        "unknown)",
    )
    add("--motorcycle", action="store_true", help="that photograph as well as the folders")
    add(
        "--photographs",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="folders of clear photographs without depth; one is invented, far at the top and near at the "
        "bottom",
    )
    add(
        "--brightness",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="bring each clear picture to a mean drawn from this range; a game's frames are darker than "
        "photographs, whose mean is about 0.3 to 0.55",
    )
    add(
        "--domains",
        nargs="+",
        choices=list(DOMAINS),
        default=list(DOMAINS),
        metavar="KIND",
        help=f"kinds of haze: {', '.join(DOMAINS)}; default all",
    )
    add("--variants", type=at_least_one, default=1, metavar="N", help="of each kind a scene; default 1")
    add("--test-share", type=_share, default=0.0, metavar="S", help="of the scenes, in [0, 1]; default 0")
    add("--seed", type=int, default=0, help="default 0")
    add("--overwrite", action="store_true", help="write anew what was made with other settings")
    return parser.parse_args(argv)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"found {text}, expected a share in [0, 1]")
    return value


if __name__ == "__main__":
    raise SystemExit(main())

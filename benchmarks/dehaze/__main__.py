r"""What an adapter does to real hazy photographs: base, adapter and full fine-tuning side by side.

    python -m benchmarks.dehaze --data photographs
    python -m benchmarks.dehaze --data photographs --base outputs/dea/final \
        --adapter outputs/day/final/adapter.safetensors --full outputs/full/final

Everything goes to ``--output``, also the sheet, which shows the photographs. They should be others than those
that the adapter was trained on.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps
from torch import Tensor

from benchmarks.dehaze.arms import Arm, cleared, read_pictures
from benchmarks.dehaze.report import HAZY, page, verdict, write_pictures_table
from benchmarks.dehaze.speed import merged_ratios, step_costs
from infer.dehaze_measures import measure
from vision.command_line import at_least_one, exit_status
from vision.media import image_grid, to_image, write_image
from vision.whole_file import written_aside

BASE = Path("checkpoints/dehaze-dea-net")
ADAPTER = Path("checkpoints/dehaze-day")
_CELL = 256


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 1 where a picture cannot be read, 2 for a mistake."""
    return exit_status(lambda: _compare(_parser().parse_args(argv)))


def _compare(options: argparse.Namespace) -> int:
    arms = _arms(options)
    bad: list[str] = []
    pictures = read_pictures(options.data, options.side, bad)
    images = {arm.name: list(cleared(arm.pipeline(), pictures, arm.name)) for arm in arms}
    results = {
        name: [measure(before, after) for before, after in zip(pictures.values(), found, strict=True)]
        for name, found in images.items()
    }
    shown = list(pictures)[: options.sheet]
    rows = [[pictures[name], *(images[arm.name][n] for arm in arms)] for n, name in enumerate(shown)]
    grid = image_grid(
        [[_small(pixels) for pixels in row] for row in rows],
        [name[-24:] for name in shown],
        [HAZY, *images],
    )
    write_image(grid, options.output / "before_after.png")
    write_pictures_table(results, list(pictures), options.output / "pictures.csv")
    base, adapter = arms[:2]
    sample = next(iter(pictures.values()))
    told = [verdict(results[adapter.name])[1], f"base {base.model}, adapter {adapter.adapter}"]
    told += [f"{arm.name} {arm.model}" for arm in arms[2:]]
    if len(arms) == 2:
        told.append("Full fine-tuning is left out: no model was given for it (--full).")
    told += [f"Left out: {line}" for line in bad]
    text = page(
        results,
        {arm.name: arm.facts() for arm in arms},
        merged_ratios(base, adapter, sample, options.repeats),
        step_costs(base, options.repeats),
        told,
        "python -m benchmarks.dehaze --data DIR",
        options.side,
    )
    with written_aside(options.output / "table.md") as aside:
        aside.write_text(text, encoding="utf-8")
    print(text)
    for line in bad:
        print(f"unreadable: {line}", file=sys.stderr)
    print(f"report  {options.output / 'table.md'}\nsheet   {options.output / 'before_after.png'}")
    return 1 if bad else 0


def _arms(options: argparse.Namespace) -> list[Arm]:
    places = {"--base": options.base, "--adapter": options.adapter}
    arms = [Arm("base", options.base), Arm("base and adapter", options.base, options.adapter)]
    if options.full is not None:
        places["--full"] = options.full
        arms.append(Arm("full fine-tuning", options.full))
    for option, path in places.items():
        if not path.exists():
            raise ValueError(
                f"{option} {path} does not exist; train one with train.dehaze (docs/dehaze.md), or give "
                "another"
            )
    return arms


def _small(pixels: Tensor) -> Image.Image:
    return ImageOps.pad(to_image(2 * pixels[0] - 1), (_CELL, _CELL), color="white")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dehaze",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="flat folder of hazy photographs")
    add("--base", type=Path, default=BASE, help=f"folder of a dehazing pipeline; default {BASE}")
    add("--adapter", type=Path, default=ADAPTER, help=f"its adapter, a file or its folder; default {ADAPTER}")
    add(
        "--full",
        type=Path,
        help="the base with all weights trained on; left out by default",
    )
    add("--side", type=at_least_one, default=512, help="longest side of the pictures; default 512")
    add(
        "--repeats", type=at_least_one, default=10, help="pairs of calls whose times are compared; default 10"
    )
    add("--sheet", type=at_least_one, default=12, help="pictures on the sheet, at most; default 12")
    add("--output", type=Path, default=Path("outputs/bench-dehaze"), help="folder of the report")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())

"""Compares text-to-image models on the same prompts and noise: one picture, one table.

python -m infer.compare --prompts configs/prompts/fashion_classes.txt --metrics checkpoints/fashion-features \
    --arm "teacher, 50 steps" checkpoints/fashion-teacher 50 \
    --arm "student, 4 steps" checkpoints/fashion-student 4 --samples 1000 --out outputs/compare
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m infer.compare",
        description="Draws the same prompts from the same noise with several models: a picture with one row "
        "a model, and a table with network evaluations, seconds a picture, Fréchet distance to the reference "
        "statistics and a classifier's accuracy on the prompts.",
    )
    add = parser.add_argument
    add("--prompts", required=True, type=Path, help="prompt file, line i for class i of the classifier")
    add("--metrics", required=True, type=Path, help="folder made by train.features")
    add(
        "--arm",
        required=True,
        action="append",
        nargs=3,
        metavar=("LABEL", "MODEL", "STEPS"),
        help="a row: its label, a pipeline's folder, and its steps; repeat for each",
    )
    add("--samples", type=int, default=1000, help="pictures a model; default 1000")
    add("--batch-size", type=int, default=100, help="pictures at once; default 100")
    add("--seed", type=int, default=0, help="seed of the noise; default 0")
    add("--height", type=int, metavar="PIXELS", help="default each model's own")
    add("--width", type=int, metavar="PIXELS", help="default each model's own")
    add("--dtype", choices=("float32", "bfloat16"), help="default bfloat16 where the machine computes in it")
    add("--out", required=True, type=Path, help="folder for comparison.png, table.md and results.json")
    add("--overwrite", action="store_true", help="replace the results that --out holds")
    options = parser.parse_args(argv)
    from infer.comparison import Arm, compare

    try:
        if (options.out / "results.json").exists() and not options.overwrite:
            raise ValueError(
                f"{options.out} already holds results; choose another --out, or replace them with --overwrite"
            )
        arms = [Arm(label, model, _steps(steps)) for label, model, steps in options.arm]
        print(
            compare(
                arms,
                prompts=options.prompts,
                metrics=options.metrics,
                samples=options.samples,
                batch_size=options.batch_size,
                seed=options.seed,
                dtype=options.dtype,
                out=options.out,
                height=options.height,
                width=options.width,
            )
        )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"picture  {options.out / 'comparison.png'}")
    print(f"table    {options.out / 'table.md'}")
    print(f"numbers  {options.out / 'results.json'}")
    return 0


def _steps(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"an arm's steps are {text!r}; expected a number from 1, as in --arm LABEL MODEL 4")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())

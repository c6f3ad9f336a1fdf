"""Publishes what a training run made as a small folder with a model card.

python -m infer.release --run outputs/cdm-fashion --out checkpoints/fashion-student \
    --results outputs/compare/results.json --label "student, 4 steps" --reference-label "teacher, 50 steps"
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m infer.release",
        description="Copies the final model of a run, in half precision, into a folder of its own, with a "
        "model card: how it is called, how good it was measured to be, and how it was made.",
    )
    add = parser.add_argument
    add("--run", required=True, type=Path, help="run folder, with final/ in it")
    add("--out", required=True, type=Path, help="folder to make, for instance checkpoints/fashion-student")
    add(
        "--results",
        type=Path,
        help="results.json of infer.compare, or of benchmarks.world for a world; not for a feature network "
        "or an autoencoder",
    )
    add("--label", help="row of the results that is this model")
    add("--reference-label", help="row to show beside it, the teacher's for instance")
    add(
        "--dtype",
        choices=("bfloat16", "float32"),
        help="of the weights; default bfloat16, and float32 for a feature network",
    )
    add("--title", help="default the name of --out")
    add("--data-source", metavar="TEXT", help="where the data come from and under which licence")
    add("--license", help="of the weights; default that of the model that they were made from, or apache-2.0")
    add("--overwrite", action="store_true", help="replace what --out holds")
    options = parser.parse_args(argv)
    from infer.publication import publish

    try:
        card = publish(**vars(options))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    print(f"model  {options.out}  ({size / 2**20:.1f} MiB)")
    print(f"card   {card}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

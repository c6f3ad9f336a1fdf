"""When a try-on shows the actions that it is told, and how well, measured against the studio's own frames.

    python -m benchmarks.tryon [--quick] [--seeds 3] [--arms arope plain ...]
    python -m benchmarks.tryon --model FOLDER [--model FOLDER ...] [--name NAME ...] [--teacher NAME]

The first draws the clips, trains every arm from the recipe in configs/tryon/bench and measures all seeds; the
second measures given models and says which targets they reach. Both go on where an earlier one stopped: clips
and trainings are known again by their settings, measures by model and settings.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vision.command_line import at_least_one


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    options = options_of(words)
    from benchmarks.tryon.comparing import compare_arms, compare_models

    asked = " ".join(["python -m benchmarks.tryon", *words])
    try:
        return (compare_models if options.model else compare_arms)(options, asked)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """The command line's options; SystemExit where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tryon",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", type=Path, action="append", default=[], help="folder of a try-on to measure; may repeat")
    add("--name", action="append", default=[], help="what the tables call a --model; default its folder")
    add("--teacher", help="name of the --model that the others are students of")
    add("--arms", nargs="+", help="some of the arms; default all, and with --quick a few")
    add("--seeds", type=at_least_one, default=3, help="runs an arm; default 3")
    add("--recipe", type=Path, help="what arms are trained by; default configs/tryon/bench/tryon.yaml")
    add("--vae", type=Path, default=Path("checkpoints/tryon-autoencoder"), help="trained autoencoder")
    add("--cache", type=Path, default=Path("outputs/cache"), help="folder of cached latents")
    add("--jobs", type=at_least_one, default=1, help="arms at a time, each with one thread; default 1, here")
    add("--train-clips", type=at_least_one, help="clips to train on, drawn if missing; default 1500")
    add("--steps", type=at_least_one, help="iterations of an arm; default the recipe's")
    add("--clips", type=at_least_one, help="clips that are measured on, of each kind; default 48")
    add("--workers", type=at_least_one, default=2, help="processes that draw clips; default 2")
    add(
        "--truth",
        type=Path,
        default=Path("outputs/tryon-truth"),
        help="folder of true clips, drawn if missing",
    )
    add("--work", type=Path, default=Path("outputs/bench-tryon"), help="folder of clips, runs and measures")
    add("--out", type=Path, help="folder of the report; default benchmarks/results/tryon, else beside runs")
    add("--quick", action="store_true", help="17 frames, few clips and iterations, one seed, a few arms")
    return parser.parse_args(words)


if __name__ == "__main__":
    raise SystemExit(main())

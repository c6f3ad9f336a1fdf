"""When a try-on shows the actions that it is told, and how well, measured against the studio's own frames.

    python -m benchmarks.tryon [--quick] [--seeds 3] [--arms arope plain ...]
    python -m benchmarks.tryon --model FOLDER [--model FOLDER ...] [--name NAME ...] [--teacher NAME]

The first draws the clips, trains one network without guider and captions of actions by the recipe in
configs/tryon/bench, trains every arm on from there and measures all seeds; the second measures given models
and says which targets they reach. Both go on where an earlier one stopped: clips and trainings are known
again by their settings, measures by model and settings.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command_line import comparison_parser, run_comparison
from vision.command_line import at_least_one

PROGRAM = "benchmarks.tryon"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return run_comparison(PROGRAM, options_of, argv)


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """The command line's options; SystemExit where they are wrong."""
    parser = comparison_parser(PROGRAM, __doc__, "try-on")
    add = parser.add_argument
    add("--recipe", type=Path, help="what arms are trained by; default configs/tryon/bench/tryon.yaml")
    add("--vae", type=Path, default=Path("checkpoints/tryon-autoencoder"), help="trained autoencoder")
    add("--train-clips", type=at_least_one, help="clips to train on, drawn if missing; default 1000")
    add("--start-steps", type=at_least_one, help="iterations of what all arms start from; default 2000")
    add("--steps", type=at_least_one, help="iterations of an arm; default the recipe's")
    add("--clips", type=at_least_one, help="clips that are measured on, of each kind; default 24")
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

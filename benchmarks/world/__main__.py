"""How much worlds answer their gamepad, measured against the engine's own frames.

    python -m benchmarks.world [--quick] [--seeds 3] [--arms scope causal ...]
    python -m benchmarks.world --model FOLDER [--model FOLDER ...] [--name NAME ...] [--teacher NAME]

The first trains every arm from the recipes in configs/world/bench and measures all seeds; the second measures
given models and says which targets they reach. Both go on where an earlier one stopped: trainings are known
again by their recipes, measures by model and settings.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command_line import comparison_parser, run_comparison

PROGRAM = "benchmarks.world"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return run_comparison(PROGRAM, options_of, argv)


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """The command line's options; SystemExit where they are wrong."""
    parser = comparison_parser(PROGRAM, __doc__, "world")
    add = parser.add_argument
    add(
        "--world-recipe", type=Path, help="what worlds are trained by; default configs/world/bench/world.yaml"
    )
    add("--student-recipe", type=Path, help="what students are; default configs/world/bench/student.yaml")
    add("--data", type=Path, default=Path("outputs/fps/train"), help="recorded clips to train on")
    add("--vae", type=Path, default=Path("checkpoints/world-autoencoder"), help="trained autoencoder")
    add("--starts", type=int, help="starts of pairs a split; default 24")
    add("--stick-starts", type=int, help="starts of held sticks a split; default 12")
    add("--frames", type=int, help="frames of a clip; default 17")
    add("--splits", nargs="+", help="some of train, test, test_freedoom1; test is needed; default all")
    add("--drift-chunks", type=int, help="chunks of the drift's streams, 0 for none; default 250")
    add("--drift-worlds", type=int, help="streams of the drift; default 8")
    add(
        "--sweep-starts",
        type=int,
        help="starts by which scales of guidance are compared, 0 for none; default 12",
    )
    add(
        "--truth",
        type=Path,
        default=Path("outputs/truth"),
        help="folder of the engine's clips, made if missing",
    )
    add("--work", type=Path, default=Path("outputs/bench-world"), help="folder of runs and measures")
    add("--out", type=Path, help="folder of the report; default benchmarks/results/world, else beside runs")
    add("--quick", action="store_true", help="fewer starts, short trainings and streams, one seed, no scales")
    return parser.parse_args(words)


if __name__ == "__main__":
    raise SystemExit(main())

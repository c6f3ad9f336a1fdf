"""How much worlds answer their gamepad, measured against the engine's own frames.

    python -m benchmarks.world [--quick] [--seeds 3] [--arms scope causal ...]
    python -m benchmarks.world --model FOLDER [--model FOLDER ...] [--name NAME ...] [--teacher NAME]

The first trains every arm from the recipes in configs/world/bench and measures all seeds; the second measures
given models and says which targets they reach. Both go on where an earlier one stopped: trainings are known
again by their recipes, measures by model and settings.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    options = options_of(words)
    from benchmarks.world.comparing import compare_arms, compare_models

    asked = " ".join(["python -m benchmarks.world", *words])
    try:
        return (compare_models if options.model else compare_arms)(options, asked)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """The command line's options; SystemExit where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.world",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", type=Path, action="append", default=[], help="folder of a world to measure; may repeat")
    add("--name", action="append", default=[], help="what the tables call a --model; default its folder")
    add("--teacher", help="name of the --model that the others are students of")
    add("--arms", nargs="+", help="some of the arms; default all")
    add("--seeds", type=int, default=3, help="runs an arm; default 3")
    add(
        "--world-recipe", type=Path, help="what worlds are trained by; default configs/world/bench/world.yaml"
    )
    add("--student-recipe", type=Path, help="what students are; default configs/world/bench/student.yaml")
    add("--data", type=Path, default=Path("outputs/fps/train"), help="recorded clips to train on")
    add("--vae", type=Path, default=Path("checkpoints/world-autoencoder"), help="trained autoencoder")
    add("--cache", type=Path, default=Path("outputs/cache"), help="folder of cached latents")
    add(
        "--jobs", type=int, default=1, help="arms at a time, each with one thread; default 1, in this process"
    )
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

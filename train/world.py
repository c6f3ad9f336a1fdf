r"""Trains a first-person world that answers a gamepad (SCOPE, arXiv 2605.23345).

python -m vision.world.record --out outputs/fps --clips 1000
python -m train.world configs/world/doom64.yaml
accelerate launch --config_file configs/accelerate/one_node.yaml -m train.world \
    configs/world/wan22_ti2v_5b.yaml
"""

import sys
from collections.abc import Sequence

from train.cli import parse_arguments
from train.recipes.world import WorldRecipe


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    invocation = parse_arguments(
        WorldRecipe,
        argv,
        prog="python -m train.world",
        description="Trains a transformer that shows what follows from a first frame and a gamepad, from "
        "scratch or from weights, on clips in the layout of CrossFPS.",
    )
    from train.jobs.job import run_job

    try:
        from train.jobs.world import WorldJob
    except ModuleNotFoundError as error:
        print(f"error: {error}; install what reading clips needs: pip install -e '.[fps]'", file=sys.stderr)
        return 2
    return run_job(WorldJob, invocation)


if __name__ == "__main__":
    raise SystemExit(main())

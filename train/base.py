"""Flow-matching training of a text-to-image transformer, from scratch or from weights, whole or LoRA.

python -m train.base configs/base/fashion.yaml --data.path ... --data.labels_path ...
accelerate launch --config_file configs/accelerate/one_node.yaml -m train.base configs/base/fashion.yaml
"""

from collections.abc import Sequence

from train.cli import parse_arguments
from train.recipes.base import BaseRecipe


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    invocation = parse_arguments(
        BaseRecipe,
        argv,
        prog="python -m train.base",
        description="Trains a text-to-image transformer by flow matching, from scratch or from weights.",
    )
    from train.jobs.base import BaseJob
    from train.jobs.job import run_job

    return run_job(BaseJob, invocation)


if __name__ == "__main__":
    raise SystemExit(main())

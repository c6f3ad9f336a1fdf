"""Trains the small feature network of the Fréchet distance and keeps the statistics of held-out pictures.

python -m train.features configs/features/fashion.yaml --data.path ... --data.labels_path ...
accelerate launch --config_file configs/accelerate/one_node.yaml -m train.features RECIPE
"""

from collections.abc import Sequence

from train.cli import parse_arguments
from train.recipes.classifier import ClassifierRecipe


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    invocation = parse_arguments(
        ClassifierRecipe,
        argv,
        prog="python -m train.features",
        description="Trains the small feature network of the Fréchet distance; keeps the statistics too.",
    )
    from train.jobs.features import FeaturesJob
    from train.jobs.job import run_job

    return run_job(FeaturesJob, invocation)


if __name__ == "__main__":
    raise SystemExit(main())

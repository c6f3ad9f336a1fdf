"""Distils a many-step text-to-image pipeline into one of few steps by CDM (arXiv 2605.06376).

python -m train.cdm configs/cdm/fashion.yaml
accelerate launch --config_file configs/accelerate/one_node.yaml -m train.cdm configs/cdm/fashion.yaml
"""

from collections.abc import Sequence

from train.cli import parse_arguments
from train.recipes.cdm import CDMRecipe


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    invocation = parse_arguments(
        CDMRecipe,
        argv,
        prog="python -m train.cdm",
        description="Distils a many-step text-to-image pipeline into one of few steps; needs no pictures.",
    )
    from train.jobs.cdm import CDMJob
    from train.jobs.job import run_job

    return run_job(CDMJob, invocation)


if __name__ == "__main__":
    raise SystemExit(main())

"""Distils a many-step pipeline into one of few steps by another method than CDM.

python -m train.distill configs/distill/ddmd.yaml
accelerate launch --config_file configs/accelerate/one_node.yaml -m train.distill configs/distill/ddmd.yaml

The recipe's key ``recipe`` names the method: ddmd, dmd, consistency or meanflow.
"""

from collections.abc import Sequence

from train.cli import parse_arguments
from train.recipes.consistency import ConsistencyRecipe
from train.recipes.ddmd import DDMDRecipe
from train.recipes.dmd import DMDRecipe
from train.recipes.meanflow import MeanFlowRecipe

RECIPES = (DDMDRecipe, DMDRecipe, ConsistencyRecipe, MeanFlowRecipe)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    invocation = parse_arguments(
        RECIPES,
        argv,
        prog="python -m train.distill",
        description="Distils a many-step text-to-image pipeline into one of few steps by the method that the "
        "recipe names: ddmd, dmd, consistency or meanflow.",
    )
    from train.jobs.consistency import ConsistencyJob
    from train.jobs.ddmd import DDMDJob
    from train.jobs.dmd import DMDJob
    from train.jobs.job import Job, run_job
    from train.jobs.meanflow import MeanFlowJob

    jobs: dict[type, type[Job]] = dict(
        zip(RECIPES, (DDMDJob, DMDJob, ConsistencyJob, MeanFlowJob), strict=True)
    )
    return run_job(jobs[type(invocation.recipe)], invocation)


if __name__ == "__main__":
    raise SystemExit(main())

"""Distils a many-step pipeline into one of few steps by CDM (arXiv 2605.06376).

python -m train.cdm configs/cdm/fashion.yaml
accelerate launch --config_file configs/accelerate/one_node.yaml -m train.cdm configs/cdm/fashion.yaml

The recipe's key ``recipe`` says what is distilled: cdm pictures and videos from prompts, world_cdm a causal
world, tryon_cdm a try-on.
"""

import sys
from collections.abc import Sequence
from typing import cast

from train.cli import Invocation, parse_arguments
from train.recipes.cdm import CDMRecipe
from train.recipes.tryon_cdm import TryOnCDMRecipe
from train.recipes.world_cdm import WorldCDMRecipe


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    invocation = parse_arguments(
        (CDMRecipe, WorldCDMRecipe, TryOnCDMRecipe),
        argv,
        prog="python -m train.cdm",
        description="Distils a many-step pipeline into one of few steps: recipe: cdm one of text to image or "
        "video, which needs no pictures; recipe: world_cdm a causal world, on its own streams; "
        "recipe: tryon_cdm a try-on, on the conditions of clips.",
    )
    from train.jobs.cdm import CDMJob
    from train.jobs.job import run_job

    if isinstance(invocation.recipe, TryOnCDMRecipe):
        from train.jobs.tryon_cdm import TryOnCDMJob

        return run_job(TryOnCDMJob, cast("Invocation[TryOnCDMRecipe]", invocation))
    if not isinstance(invocation.recipe, WorldCDMRecipe):
        return run_job(CDMJob, cast("Invocation[CDMRecipe]", invocation))
    try:
        from train.jobs.world_cdm import WorldCDMJob
    except ModuleNotFoundError as error:
        print(f"error: {error}; install what reading clips needs: pip install -e '.[fps]'", file=sys.stderr)
        return 2
    return run_job(WorldCDMJob, cast("Invocation[WorldCDMRecipe]", invocation))


if __name__ == "__main__":
    raise SystemExit(main())

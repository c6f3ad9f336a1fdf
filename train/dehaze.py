"""Trains dehazing networks from pairs, and brings them to another haze by an adapter that finds its place.

python -m vision.dehaze.synthesize --out outputs/haze --test-share 0.1
python -m train.dehaze configs/dehaze/pretrain_dit.yaml
python -m train.dehaze configs/dehaze/adapt_day.yaml
accelerate launch --config_file configs/accelerate/one_node.yaml -m train.dehaze configs/dehaze/adapt_day.yaml

The recipe's key ``recipe`` says which: dehaze_pretrain, dehaze_adapt or dehaze_full.
"""

from collections.abc import Sequence

from train.cli import parse_arguments
from train.recipes.dehaze_adapt import DehazeAdaptRecipe, DehazeFullRecipe
from train.recipes.dehaze_pretrain import DehazePretrainRecipe

RECIPES = (DehazePretrainRecipe, DehazeAdaptRecipe, DehazeFullRecipe)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    invocation = parse_arguments(
        RECIPES,
        argv,
        prog="python -m train.dehaze",
        description="Trains a dehazing network from pairs, or adapts one to the haze of your own pictures: "
        "by a small adapter that finds its place (BiLaLoRA), or whole, for comparison.",
    )
    from train.jobs.dehaze_adapt import DehazeAdaptJob
    from train.jobs.dehaze_full import DehazeFullJob
    from train.jobs.dehaze_pretrain import DehazePretrainJob
    from train.jobs.job import Job, run_job

    jobs: dict[type, type[Job]] = dict(
        zip(RECIPES, (DehazePretrainJob, DehazeAdaptJob, DehazeFullJob), strict=True)
    )
    return run_job(jobs[type(invocation.recipe)], invocation)


if __name__ == "__main__":
    raise SystemExit(main())

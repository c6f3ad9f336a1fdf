r"""Trains a model that dresses a person in a video who handles the garment (iTryOn, arXiv 2605.21431).

python -m vision.tryon.studio --out outputs/studio --clips 1000 --workers 2
python -m train.tryon configs/tryon/studio.yaml
accelerate launch --config_file configs/accelerate/one_node.yaml -m train.tryon \
    configs/tryon/wan21_vace_1_3b_stage1.yaml
"""

from collections.abc import Sequence

from train.cli import parse_arguments
from train.recipes.tryon import TryOnRecipe


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    invocation = parse_arguments(
        TryOnRecipe,
        argv,
        prog="python -m train.tryon",
        description="Trains a transformer with context blocks and a guider that makes a video of a person "
        "who handles a garment with another garment, from scratch or from weights.",
    )
    from train.jobs.job import run_job
    from train.jobs.tryon import TryOnJob

    return run_job(TryOnJob, invocation)


if __name__ == "__main__":
    raise SystemExit(main())

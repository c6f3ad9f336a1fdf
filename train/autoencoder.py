"""Trains a small causal video autoencoder on clips of first-person play.

python -m train.autoencoder configs/world/autoencoder64.yaml --data.path ... --data.held_out ...
accelerate launch --config_file configs/accelerate/one_node.yaml -m train.autoencoder RECIPE
"""

import sys
from collections.abc import Sequence

from train.cli import parse_arguments
from train.recipes.autoencoder import AutoencoderRecipe


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    invocation = parse_arguments(
        AutoencoderRecipe,
        argv,
        prog="python -m train.autoencoder",
        description="Trains a small causal video autoencoder, whose latents can be decoded one by one.",
    )
    try:
        from train.jobs.autoencoder import AutoencoderJob
    except ModuleNotFoundError as error:
        print(f"error: {error}; install what reading clips needs: pip install -e '.[fps]'", file=sys.stderr)
        return 2
    from train.jobs.job import run_job

    return run_job(AutoencoderJob, invocation)


if __name__ == "__main__":
    raise SystemExit(main())

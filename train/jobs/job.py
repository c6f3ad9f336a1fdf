"""What an entry point of training makes of a recipe, and how it is run."""

import os
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar

from train.cli import Invocation
from train.data.batches import Batches
from train.estimate import Estimate, format_dry_run
from train.loop import run_training
from train.methods.method import Method
from train.previews import Preview
from train.processes import failing_together, process_state, say
from train.recipes.run import RunRecipe
from train.run_folder import RunFolder
from train.training_result import TrainingResult

R = TypeVar("R", bound=RunRecipe)


class Job(ABC, Generic[R]):
    """One run of one recipe: what is trained, on what, how it is previewed and what comes out.

    Args:
        recipe: the validated recipe.
    """

    def __init__(self, recipe: R) -> None:
        self.recipe = recipe

    @abstractmethod
    def estimates(self, processes: int) -> dict[str, Estimate]:
        """Memory by network, without allocating any; for ``--dry-run``."""

    @abstractmethod
    def prepare(self) -> tuple[Method, Batches, Preview | None]:
        """Loads data and networks."""

    @abstractmethod
    def export(self, result: TrainingResult, folder: Path) -> str:
        """Writes what the run made; all processes call it. Returns where it loads, in a sentence."""


def run_job(job_class: type[Job[R]], invocation: Invocation[R]) -> int:
    """Runs an entry point; returns its exit status, 2 after an error that a user can mend.

    With ``ATELIER_DEBUG`` in the environment such an error keeps its traceback.
    """
    try:
        _run(job_class(invocation.recipe), invocation)
    except ValueError as error:
        if os.environ.get("ATELIER_DEBUG"):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(job: Job[Any], invocation: Invocation[Any]) -> None:
    recipe = invocation.recipe
    state = process_state()
    if invocation.dry_run:
        if state.is_main_process:
            print(format_dry_run(recipe, job.estimates(state.num_processes), state.num_processes))
        return
    with RunFolder(recipe.train.output, invocation.resume) as run:
        method, batches, preview = job.prepare()
        result = run_training(
            method,
            batches,
            recipe.train,
            resolved_recipe=recipe.model_dump(mode="json"),
            run=run,
            ema_of=recipe.train.ema_of if recipe.train.ema_of is not None else [recipe.networks[0]],
            preview=preview,
        )
        with failing_together():
            loads = job.export(result, run.final)
    say(
        f"{run.final}  {loads}\n{run.curves}  loss, gradient norm and learning rate\n"
        f"{run.previews}  previews\n{run.checkpoints}  to go on from"
    )

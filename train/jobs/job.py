"""What an entry point of training makes of a recipe, and how it is run."""

import os
import sys
import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar

import diffusers
import transformers
from safetensors import SafetensorError
from torch import Tensor

from train.cli import Invocation
from train.data.batches import Batches
from train.estimate import Estimate, format_dry_run
from train.loop import run_training
from train.methods.method import Method
from train.previews import Preview
from train.processes import failing_together, say
from train.recipes.run import RunRecipe
from train.run_folder import RunFolder
from train.sessions import Session
from vision.cards.model_card import write_model_card
from vision.cards.run_facts import run_facts
from vision.processes import process_device, process_state
from vision.whole_file import folder_written_aside

R = TypeVar("R", bound=RunRecipe)


class Job(ABC, Generic[R]):
    """One run of one recipe: what is trained, on what, how it is previewed and what comes out.

    Args:
        recipe: the validated recipe.
    """

    def __init__(self, recipe: R) -> None:
        self.recipe = recipe

    @abstractmethod
    def estimates(self, processes: int, device: str) -> dict[str, Estimate]:
        """Memory by network, without allocating any; for ``--dry-run``.

        Args:
            processes: of the run.
            device: "cpu" or "cuda".
        """

    def begin(self, run: RunFolder) -> None:
        """What comes before :meth:`prepare`, and saves its own state; all processes call it.

        Args:
            run: the run's folder, inside its ``with`` block.
        """

    @abstractmethod
    def prepare(self) -> tuple[Method, Batches, Preview | None]:
        """Loads data and networks."""

    @abstractmethod
    def export(self, weights: dict[str, Tensor], folder: Path) -> str:
        """Writes what the run made, on the main process. Returns where it loads, in a sentence.

        Args:
            weights: trained parameters of the recipe's first network, averaged where an average was kept.
            folder: an empty folder.
        """


def run_job(job_class: type[Job[R]], invocation: Invocation[R]) -> int:
    """Runs an entry point; returns its exit status, 2 after an error that a user can mend.

    Warnings are one line each, from the main process: the others have the same ones.

    With ``ATELIER_DEBUG`` in the environment such an error keeps its traceback.
    """
    transformers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # FSDP2 warns of networks that return views; nothing here changes an output in place.
            warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")
            warnings.showwarning = lambda message, *_: say(f"warning: {message}")
            _run(job_class(invocation.recipe), invocation)
    except (ValueError, OSError) as error:
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
            processes = invocation.gpus or state.num_processes
            device = "cuda" if invocation.gpus else process_device().type
            print(format_dry_run(recipe, job.estimates(processes, device), processes))
        return
    with RunFolder(recipe.train.output, invocation.resume) as run:
        job.begin(run)
        method, batches, preview = job.prepare()
        with Session(run, batches) as session:
            result = run_training(
                method,
                session.batches,
                recipe.train,
                resolved_recipe=recipe.model_dump(mode="json"),
                run=run,
                ema_of=recipe.train.ema_of if recipe.train.ema_of is not None else [recipe.networks[0]],
                preview=preview,
            )
        weights = result.weights(recipe.networks[0])
        with failing_together():
            loads = _export(job, weights, run) if state.is_main_process else ""
    say(f"{run.final}  {loads}\n{run.curves}  loss, gradient norm and learning rate")
    if run.health_panel.is_file():
        say(f"{run.health_panel}  health: clipped gradients, previews, in a distillation the fake score")
    if any(run.previews.iterdir()):
        say(f"{run.previews}  previews")
    say(f"{run.checkpoints}  to go on from")


def _export(job: Job[Any], weights: dict[str, Tensor], run: RunFolder) -> str:
    try:
        with folder_written_aside(run.final) as folder:
            loads = job.export(weights, folder)
            write_model_card(folder, *run_facts(run.path, folder, run.final))
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"the run is finished, but {run.final} could not be written: {error}. Its checkpoints are whole; "
            "make room and write it with --resume latest"
        ) from error
    return loads

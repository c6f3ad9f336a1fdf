"""The first phase of an adaptation: the search for the adapter's places, which goes on where it stopped.

Its files:

    <run>/search/recipe.yaml             what it was begun with
    <run>/search/state.safetensors       gates, weights, optimizers and log, every train.save_every steps
    <run>/search/selected.safetensors    its end: the kept candidates with what they have learned
    <run>/gates.png                      gates, multiplier and losses over the steps
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from train.data.haze_crops import HazeCrops
from train.interrupts import Interrupts, RunInterrupted
from train.jobs.half_of_crops import BatchLoss, HalfOfCrops
from train.processes import failing_together, mean_over_processes, say
from train.recipes.dehaze_adapt import SearchRecipe
from train.recipes.train import TrainRecipe
from train.recipes.yaml_text import write_yaml
from train.resuming import check_recipe
from train.run_folder import RunFolder
from vision.latents.tensor_file import read_tensors, write_tensors
from vision.lora import BilevelSearch, GatedLora, SearchReport, Selection, split_halves
from vision.lora.selection import check_choice
from vision.processes import process_device, process_state
from vision.whole_file import written_aside

_ASKED_LAST = ("search.k", "search.budget", "search.score", "search.gate")
_OPTIMIZERS = ("gate_optimizer", "weight_optimizer")


class AdapterSearch:
    """Searches once and leaves ``selected.safetensors``, whatever kills it in between.

    Every process of a run does the same search; the main one writes.

    Args:
        run: the run's folder, inside its ``with`` block.
        recipe: the section of the search.
        train: the section of the loop: seed, batch size, checkpoints, log.
        resolved: the whole recipe as JSON.

    Attributes:
        selected: path of the file.
        done: whether it was there already.
    """

    def __init__(
        self, run: RunFolder, recipe: SearchRecipe, train: TrainRecipe, resolved: dict[str, Any]
    ) -> None:
        self.recipe, self.train, self.resolved = recipe, train, resolved
        self.folder, self.picture = run.path / "search", run.path / "gates.png"
        self.selected, self._state = self.folder / "selected.safetensors", self.folder / "state.safetensors"
        found = [path for path in (self.selected, self._state) if path.is_file()]
        if found and run.resume is None:
            raise ValueError(
                f"{run.path} already holds a run ({found[0].relative_to(run.path)}); go on with it by "
                "--resume latest, or choose another folder with --train.output"
            )
        # Asked once, before any process writes.
        self.done, self._begun = self.selected.is_file(), self._state.is_file()
        if found:
            # What is asked after the last step may be changed until it is answered.
            check_recipe(self.folder, resolved, self.done, () if self.done else _ASKED_LAST)

    def run(self, lora: GatedLora, loss: BatchLoss, crops: HazeCrops) -> None:
        """Searches; afterwards the network is the base again, without an adapter.

        Args:
            lora: on all candidates.
            loss: of a batch.
            crops: the pictures, which are split into halves.

        Raises:
            ValueError: k or budget that cannot be met, fewer than two pictures, or what
                :class:`vision.lora.BilevelSearch` refuses.
            RunInterrupted: SIGTERM or Ctrl-C asked to stop, and the search has saved.
        """
        recipe, seed = self.recipe, self.train.seed
        check_choice(
            {candidate.name: candidate.cost for candidate in lora.candidates}, recipe.k, recipe.budget
        )
        lower, upper = (
            HalfOfCrops(loss, crops, half, self.train.batch_size, seed)
            for half in split_halves(len(crops), seed)
        )
        searching = BilevelSearch(
            lora, lower, upper, recipe.hypergradient, gate_rate=recipe.gate_lr, weight_rate=recipe.lr
        )
        if self._begun:
            read_state(self._state, searching)
            say(f"going on with the search, step {len(searching.log)}")
        if process_state().is_main_process:
            with written_aside(self.folder / "recipe.yaml") as aside:
                aside.write_text(write_yaml(self.resolved), encoding="utf-8")
        self._steps(searching)
        report = SearchReport(lora, searching.log, upper)
        selection = report.select(recipe.k, recipe.score, recipe.budget, batches=upper.batches)
        say(_told(selection))
        kept = lora.keep(selection, recipe.gate)
        with failing_together():
            if process_state().is_main_process:
                report.draw(self.picture)
                kept.save(self.selected)
        kept.remove()

    def _steps(self, searching: BilevelSearch) -> None:
        steps, done = self.recipe.steps, len(searching.log)
        main = process_state().is_main_process
        bar = tqdm(
            total=steps,
            initial=done,
            desc="search",
            unit="step",
            disable=not main,
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
        )
        with Interrupts() as interrupts, bar:
            while len(searching.log) < steps:
                record = searching.step()
                bar.set_postfix(lower=f"{record['lower']:.4g}", upper=f"{record['upper']:.4g}", refresh=False)
                bar.update()
                done = len(searching.log)
                # Processes may hear of a signal in different steps; they stop in the one that all know of.
                asked = torch.tensor(float(interrupts.requested), device=process_device())
                stop = (interrupts.requested or signal.SIGTERM) if mean_over_processes(asked) else 0
                if stop or done % self.train.save_every == 0 or done == steps:
                    with failing_together():
                        if main:
                            write_state(self._state, searching)
                if stop:
                    say(f"stopped by {signal.Signals(stop).name} after step {done} of the search, which is "
                        "saved; go on with --resume latest")  # fmt: skip
                    raise RunInterrupted(stop)


def write_state(path: Path, searching: BilevelSearch) -> None:
    """Writes a search between two steps as safetensors, whole or not at all."""
    state = searching.state_dict()
    tensors: dict[str, Tensor] = {}
    for kind in ("gates", "weights"):
        tensors |= {f"{kind}/{number}": value for number, value in enumerate(state[kind])}
    for name in _OPTIMIZERS:
        for number, moments in state[name]["state"].items():
            tensors |= {f"{name}/{number}/{what}": value for what, value in moments.items()}
    write_tensors(path, tensors, {"log": json.dumps(state["log"])})


def read_state(path: Path, searching: BilevelSearch) -> None:
    """Puts what :func:`write_state` wrote into a search on the same candidates, bit by bit.

    Raises:
        ValueError: the file is damaged, or of other candidates.
    """
    tensors, metadata = read_tensors(path)
    state = searching.state_dict()
    for kind in ("gates", "weights"):
        count = sum(name.startswith(f"{kind}/") for name in tensors)
        state[kind] = [tensors[f"{kind}/{number}"] for number in range(count)]
    for name in _OPTIMIZERS:
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"{name}/"):
                _, number, what = key.split("/")
                moments.setdefault(int(number), {})[what] = value
        state[name]["state"] = moments
    state["log"] = json.loads(metadata["log"])
    searching.load_state_dict(state)


def _told(selection: Selection) -> str:
    """The scores, the best first, with a mark at what is kept."""
    order = sorted(selection.scores, key=lambda name: -selection.scores[name])
    width = max(len(name) for name in order)
    lines = [
        f"  {name.ljust(width)}  {selection.scores[name]:+.4g}{'  kept' if name in selection.names else ''}"
        for name in order[:16]
    ]
    if len(order) > 16:
        lines.append(f"  and {len(order) - 16} below")
    return "\n".join([f"candidates by {selection.score}:", *lines])

"""The training loop. It knows neither networks nor methods: a method has losses, the loop does the rest.

One iteration, with the micro-batches m = 1 .. M of each process:

    losses_m = method.losses(batch_m, draws_m)
    for each network that is due:
        gradient = mean over m and processes of d loss_m / d weights
        stop if loss or gradient is not finite
        clip; optimizer step at the network's learning rate; moving average
        method.updated(network)

A run is exactly repeatable: data and draws are functions of (seed, step), a checkpoint holds all else.
"""

import errno
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor

from train.checkpoint import load_checkpoint, read_progress, restore_random_states, rotate, save_checkpoint
from train.data.batches import Batches, first_sample
from train.finite import check_finite
from train.interrupts import Interrupts, RunInterrupted
from train.methods.method import Loss, Method
from train.placement import place_networks
from train.previews import Preview, draw_preview, draw_reference
from train.processes import mean_over_processes, say
from train.random_states import seed_process
from train.recipes.train import TrainRecipe
from train.reports import Reports
from train.resuming import check_recipe, choose_checkpoint
from train.run_folder import RunFolder
from train.trained_network import TrainedNetwork
from train.training_result import TrainingResult
from vision.flow.draws import Draws
from vision.processes import process_state

Losses = dict[str, Callable[[], Loss]]


def run_training(
    method: Method,
    batches: Batches,
    recipe: TrainRecipe,
    *,
    resolved_recipe: dict[str, Any],
    run: RunFolder,
    ema_of: list[str],
    preview: Preview | None = None,
) -> TrainingResult:
    """Trains a method's networks, from the beginning or from where ``run.resume`` says.

    Args:
        method: networks and losses; its networks are moved, cast and wrapped in place.
        batches: the data.
        recipe: how to train.
        resolved_recipe: the whole recipe as JSON, kept beside each checkpoint.
        run: the run's folder, inside its ``with`` block.
        ema_of: names of the networks with a moving average.
        preview: drawn every ``preview_every`` iterations by all processes.

    Raises:
        NonFiniteError: a loss or gradient is not finite.
        ValueError: recipe, networks, run folder and checkpoint do not fit each other, or the disk is full.
        RunInterrupted: SIGTERM or Ctrl-C asked to stop, and the run has saved.
    """
    try:
        return _Loop(method, batches, recipe, resolved_recipe, run, ema_of, preview).run()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise ValueError(
            f"the run stopped, since it could not write in {run.path}: {error}. Checkpoints are untouched; "
            f"make room and go on with --resume latest"
        ) from error


class _Loop:
    def __init__(
        self,
        method: Method,
        batches: Batches,
        recipe: TrainRecipe,
        resolved_recipe: dict[str, Any],
        run: RunFolder,
        ema_of: list[str],
        preview: Preview | None,
    ) -> None:
        self.method, self.batches, self.recipe, self.preview = method, batches, recipe, preview
        self.resolved_recipe, self.folder = resolved_recipe, run
        process_state()
        self.accelerator = Accelerator(
            mixed_precision="no",  # the recipe decides (_autocast), not what the launcher was told
            log_with=None if recipe.tracker == "none" else recipe.tracker,
            project_dir=run.path,
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
        )
        self.rank, self.world_size = self.accelerator.process_index, self.accelerator.num_processes
        self.global_batch_size = recipe.batch_size * recipe.accumulation * self.world_size
        self.networks = place_networks(method, recipe, self.accelerator, ema_of)

    def run(self) -> TrainingResult:
        try:
            self._run()
        finally:
            self._unwrap()
        return TrainingResult(self.recipe.steps, self.networks)

    def _unwrap(self) -> None:
        """Lets go of DDP, which would keep the process group and its threads past the program's end."""
        for name, trained in self.networks.items():
            self.method.networks[name] = trained.wrapped = trained.network
        self.accelerator.free_memory()

    def _run(self) -> None:
        start, window, checkpoint = self._begin()
        self.folder.write_recipe(self.resolved_recipe)
        micro_batches = self.batches.loader(
            start,
            batch_size=self.recipe.batch_size,
            accumulation=self.recipe.accumulation,
            rank=self.rank,
            world_size=self.world_size,
            workers=self.recipe.loader_workers,
        )
        with (
            Interrupts() as interrupts,
            Reports(self.accelerator, self.folder, self.recipe, start, window) as reports,
        ):
            # Random states come last, so that nothing that sets the run up has a part in them.
            if checkpoint is None:
                seed_process(self.recipe.seed, self.rank, start)
            else:
                restore_random_states(checkpoint, self.recipe.seed, start)
            self._begin_previews(start, reports)
            for step in range(start, self.recipe.steps):
                stop = self._iterate(step, micro_batches, interrupts, reports)
                self._end_iteration(step + 1, stop, reports)
            del micro_batches  # ends the loader's workers
            reports.draw(now=True)

    def _begin(self) -> tuple[int, dict[str, list[float]], Path | None]:
        """Iterations done, what is noted for the next log record, and the checkpoint they come from."""
        resume = self.folder.resume
        checkpoint = choose_checkpoint(self.folder.checkpoints, resume) if resume else None
        if checkpoint is None:
            if resume:
                say(f"{self.folder.checkpoints} holds no checkpoint: starting from the beginning")
            return 0, {}, None
        step, progress = read_progress(checkpoint)
        before = progress["global_batch_size"]
        check_recipe(checkpoint, self.resolved_recipe, same_global_batch=before == self.global_batch_size)
        load_checkpoint(checkpoint, self.networks)
        say(f"going on from {checkpoint}, step {step}")
        if before != self.global_batch_size:
            say(
                f"the global batch was {before} samples, now {self.global_batch_size}: the data order changes"
            )
        return step, progress["window"], checkpoint

    def _iterate(
        self,
        step: int,
        micro_batches: Iterator[Mapping[str, Tensor]],
        interrupts: Interrupts,
        reports: Reports,
    ) -> int:
        """One iteration; returns the signal that asked any process to stop, or 0."""
        losses = [self._losses(step, m, next(micro_batches)) for m in range(self.recipe.accumulation)]
        stop = False
        for name in self.method.due(step):
            trained = self.networks[name]
            values = self._backward(trained, losses)
            norm = trained.gradient_norm()
            values[f"grad_norm/{name}"] = norm
            # The one read from the device in an update: the weights may not change before the host knows that
            # loss and gradient are finite, and all else that it wants to know comes along.
            asked = torch.tensor(float(interrupts.requested), device=norm.device)
            read = mean_over_processes(torch.stack([asked, *(value.float() for value in values.values())]))
            asked, *numbers = read.tolist()
            stop = stop or asked > 0
            noted = dict(zip(values, numbers, strict=True))
            check_finite(noted, name, step + 1, self.folder.checkpoints)
            if self.recipe.clip_grad_norm is not None:
                # The mean over the updates of a log record is the share of clipped ones.
                noted[f"clipped/{name}"] = float(noted[f"grad_norm/{name}"] > self.recipe.clip_grad_norm)
            trained.update(norm)
            self.method.updated(name)
            reports.note(noted)
        # Processes may hear of a signal in different iterations; they stop in the one that all know of.
        return (interrupts.requested or signal.SIGTERM) if stop else 0

    def _losses(self, step: int, micro_batch: int, batch: Mapping[str, Tensor]) -> Losses:
        """The losses of one micro-batch, not yet computed."""
        first = first_sample(
            micro_batch, batch_size=self.recipe.batch_size, rank=self.rank, world_size=self.world_size
        )
        draws = Draws(self.recipe.seed, step, first, self.global_batch_size, self.rank)
        device = self.accelerator.device
        with self._autocast():
            return self.method.losses(
                {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}, draws
            )

    def _backward(self, trained: TrainedNetwork, losses: list[Losses]) -> dict[str, Tensor]:
        """Accumulates a network's gradient; returns loss and parts as means over the micro-batches."""
        trained.clear_gradients()
        values: dict[str, Tensor] = {}
        for m, thunks in enumerate(losses):
            with trained.accumulating(last=m == len(losses) - 1):
                with self._autocast():
                    loss = thunks.pop(trained.name)()
                (loss.value / len(losses)).backward()
            parts = {f"{trained.name}/{part}": value for part, value in loss.parts.items()}
            for name, value in {f"loss/{trained.name}": loss.value, **parts}.items():
                values[name] = values.get(name, 0) + value.detach() / len(losses)
        return values

    def _end_iteration(self, done: int, stop: int, reports: Reports) -> None:
        """Log, checkpoint, preview; leaves if a signal asked for it."""
        reports.end_step(done, {name: trained.learning_rate for name, trained in self.networks.items()})
        if done % self.recipe.save_every == 0 or done == self.recipe.steps or stop:
            progress = {"global_batch_size": self.global_batch_size, "window": reports.window}
            save_checkpoint(self.folder.checkpoints, done, self.networks, progress, self.resolved_recipe)
            rotate(self.folder.checkpoints, self.recipe.keep_last)
            reports.draw(now=bool(stop))
        if stop:
            name = signal.Signals(stop).name
            say(f"stopped by {name} after step {done}, which is saved; go on with --resume latest")
            raise RunInterrupted(stop)
        self._draw_preview(done, reports)

    def _begin_previews(self, start: int, reports: Reports) -> None:
        """Draws the reference of the previews, and the preview that a stopped run was still to draw."""
        if self.preview is None or not self.recipe.preview_every:
            return
        if not reports.has_reference(self.preview.about):
            with self._autocast():
                pictures = draw_reference(self.preview, self.method.frozen, self.folder.reference)
            if pictures is not None:
                reports.set_reference(pictures, self.preview.about, start)
        if start and not reports.has_preview(start):
            self._draw_preview(start, reports)

    def _draw_preview(self, done: int, reports: Reports) -> None:
        if self.preview and self.recipe.preview_every and done % self.recipe.preview_every == 0:
            with self._autocast():
                pictures = draw_preview(self.preview, done, self.networks, self.folder.previews)
            if pictures is not None:
                reports.end_preview(done, pictures)

    def _autocast(self) -> torch.autocast:
        # Cast weights are remembered within one context only, so a context must not outlive an update.
        return torch.autocast(
            self.accelerator.device.type, torch.bfloat16, enabled=self.recipe.mixed_precision == "bf16"
        )

"""What a run tells while it runs: progress bar, log.jsonl, tracker, curves, health."""

import math
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from tqdm import tqdm

from train.health import PREVIEW, preview_values
from train.health_files import HealthFiles
from train.previews import Pictures
from train.processes import failing_together
from train.recipes.train import TrainRecipe
from train.run_folder import RunFolder
from train.run_log import RunLog
from vision.media.curves import plot_curves

#: Drawing takes a moment, so a run with many checkpoints and previews does not draw at each.
_SECONDS_BETWEEN_DRAWINGS = 30.0


class Reports:
    """Averages what is noted over the iterations between two log records; on the main process only.

    Args:
        accelerator: carries the tracker.
        run: where the files go.
        recipe: how often, and which tracker.
        step: iterations done before; later records are cut away.
        window: sums and counts since the last record, as :attr:`window` gave them to the checkpoint.

    Attributes:
        window: sum and count of each value noted since the last record.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        run: RunFolder,
        recipe: TrainRecipe,
        step: int,
        window: dict[str, list[float]],
    ) -> None:
        self.accelerator = accelerator
        self.run = run
        self.every = recipe.log_every
        self.window = window
        self._is_main = accelerator.is_main_process
        self._drawn = time.monotonic()
        with failing_together():
            if self._is_main:
                self._log = RunLog(run.log, step)
                self._health = HealthFiles(run, self._log.records, step)
        if recipe.tracker != "none":
            # TensorBoard drops what a killed run wrote after its last checkpoint.
            accelerator.init_trackers(
                recipe.tracker, init_kwargs={recipe.tracker: {"purge_step": step + 1}} if step else {}
            )
        self._bar = tqdm(
            total=recipe.steps,
            initial=step,
            unit="step",
            disable=not self._is_main,
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
            dynamic_ncols=True,
        )

    def __enter__(self) -> "Reports":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        for tracker in self.accelerator.trackers:
            tracker.finish()

    def note(self, values: dict[str, float]) -> None:
        """Counts values towards the next record and shows the losses."""
        for name, value in values.items():
            entry = self.window.setdefault(name, [0.0, 0])
            entry[0] += value
            entry[1] += 1
        losses = {name: f"{value:.4g}" for name, value in values.items() if name.startswith("loss/")}
        self._shown = {**getattr(self, "_shown", {}), **losses}
        self._bar.set_postfix(self._shown, refresh=False)

    def end_step(self, step: int, learning_rates: dict[str, float]) -> None:
        """Ends iteration ``step`` (from 1); writes a record where one is due."""
        self._bar.update()
        if step % self.every:
            return
        values = {name: total / count for name, (total, count) in self.window.items()}
        self.window.clear()
        values.update({f"lr/{name}": rate for name, rate in learning_rates.items()})
        if self._is_main:
            # JSON has no infinity; a part of a loss may be one without stopping the run.
            finite = {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
            self._log.append({"step": step, **finite})
        self.accelerator.log(values, step=step)

    def has_reference(self, about: Mapping[str, Any]) -> bool:
        """Whether the run holds the reference of ``about``; all processes get one answer."""
        return self._ask(lambda: self._health.has_reference(about))

    def set_reference(self, pictures: Pictures, about: Mapping[str, Any], step: int) -> None:
        """Compares the previews after ``step`` to ``pictures``; see :meth:`HealthFiles.set_reference`."""
        if self._is_main:
            self._health.set_reference(pictures, about, step)
            self._health.refresh(self._log.records, draw=False)

    def has_preview(self, step: int) -> bool:
        """Whether the preview after ``step`` iterations is logged; all processes get one answer."""
        return self._ask(
            lambda: any(
                record["step"] == step and any(name.startswith(PREVIEW) for name in record)
                for record in self._log.records
            )
        )

    def end_preview(self, step: int, pictures: Pictures) -> None:
        """Logs what the preview after ``step`` iterations looks like."""
        values = {**preview_values(pictures), **pictures.values}
        if self._is_main:
            self._log.append({"step": step, **values})
        self.accelerator.log(values, step=step)
        self.draw()

    def draw(self, now: bool = False) -> None:
        """Refreshes the health and, with ``now`` or when the last drawing is old, draws the curves."""
        if not self._is_main:
            return
        due = now or time.monotonic() - self._drawn > _SECONDS_BETWEEN_DRAWINGS
        self._health.refresh(self._log.records, due)
        if due and self._log.records:
            plot_curves(self._log.records, self.run.curves)
            self._drawn = time.monotonic()

    def _ask(self, question: Callable[[], bool]) -> bool:
        answer = [question() if self._is_main else False]
        broadcast_object_list(answer)
        return answer[0]

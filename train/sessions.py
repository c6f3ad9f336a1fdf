"""sessions.jsonl: who worked on a run, from which step to which, how long, and with what."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from train.data.batches import Batches
from train.interrupts import RunInterrupted
from train.processes import say
from train.run_folder import RunFolder
from vision.processes import process_device, process_state
from vision.provenance import machine_facts
from vision.whole_file import written_aside


class Session:
    """One stay of the training loop in a run, written to the run's ``sessions.jsonl`` when the loop leaves.

    Where it begins and how far it gets is read off what the loop asks of its data, so the loop must be given
    :attr:`batches`. A process that is killed leaves no record, and the next one's ``from_step`` shows it.

    Args:
        run: the run's folder, inside its ``with`` block.
        batches: the data.

    Attributes:
        batches: the same data, watched.
    """

    def __init__(self, run: RunFolder, batches: Batches) -> None:
        self.path = run.sessions
        self.batches = _WatchedBatches(batches)
        self._facts = _facts() if process_state().is_main_process else None

    def __enter__(self) -> "Session":
        self._began, self._since = time.strftime("%Y-%m-%d %H:%M:%S %z"), time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        watched = self.batches
        if self._facts is None or watched.begun == watched.first:
            return
        record = {
            "began": self._began,
            "from_step": watched.first,
            "to_step": watched.begun,
            "seconds": round(time.monotonic() - self._since, 1),
            "ended": _ending(error),
            **self._facts,
        }
        try:
            append_record(self.path, record)
        except OSError as problem:
            message = f"{self.path} could not be written: {problem}"
            if error is None:
                raise ValueError(f"{message}; make room and go on with --resume latest") from problem
            say(message)


def append_record(path: Path, record: dict[str, Any]) -> None:
    """Adds a line to a JSONL file, which is replaced as a whole: a full disk tears no line."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    with written_aside(path) as aside:
        aside.write_text(before + json.dumps(record) + "\n", encoding="utf-8")


class _WatchedBatches(Batches):
    """Batches that know with which iteration the loop began, and how many it has begun."""

    def __init__(self, batches: Batches) -> None:
        super().__init__(batches.dataset, batches.order, batches.seed)
        self.first = self.begun = 0

    def loader(self, start_step: int, *, accumulation: int = 1, **how: Any) -> Iterator[dict[str, Tensor]]:
        self.first = self.begun = start_step
        return self._counted(super().loader(start_step, accumulation=accumulation, **how), accumulation)

    def _counted(
        self, micro_batches: Iterator[dict[str, Tensor]], accumulation: int
    ) -> Iterator[dict[str, Tensor]]:
        for number, batch in enumerate(micro_batches):
            self.begun += number % accumulation == 0
            yield batch


def _ending(error: BaseException | None) -> str:
    if error is None:
        return "finished"
    return "interrupted" if isinstance(error, RunInterrupted | KeyboardInterrupt) else "failed"


def _facts() -> dict[str, Any]:
    return {**machine_facts(process_device()), "processes": process_state().num_processes}

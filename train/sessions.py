"""sessions.jsonl: who worked on a run, from which step to which, how long, and with what."""

import json
import platform
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import diffusers
import torch
from torch import Tensor

import vision
from train.data.batches import Batches
from train.interrupts import RunInterrupted
from train.processes import say
from train.run_folder import RunFolder
from vision.processes import process_device, process_state
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


def code_version() -> str:
    """Version of the installed code and, in its own git checkout, the commit, with "-dirty" after edits."""
    root = Path(vision.__file__).parents[1]
    git = ["git", "--no-optional-locks", "-C", str(root)]
    if _output([*git, "rev-parse", "--show-toplevel"]) != str(root.resolve()):
        return vision.__version__
    commit = _output([*git, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
    return f"{vision.__version__} ({commit})" if commit else vision.__version__


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
    return {
        "code": code_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "device": _device_name(process_device()),
        "threads": torch.get_num_threads(),
        "processes": process_state().num_processes,
    }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        described = Path("/proc/cpuinfo")
        lines = described.read_text(encoding="utf-8").splitlines() if described.is_file() else []
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, platform.processor() or platform.machine())
    return device.type


def _output(command: list[str]) -> str | None:
    """What a command prints; None where it is not installed or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None

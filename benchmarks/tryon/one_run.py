"""One arm and seed: trains or goes on, measures, writes what it found.

    python -m benchmarks.tryon.one_run TASK.json

TASK.json is written by :mod:`benchmarks.tryon.comparing`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.arm_runs import train_then
from benchmarks.tryon.evaluating import Evaluation, loaded
from benchmarks.tryon.settings import Settings


def evaluation_of(task: dict[str, Any]) -> Evaluation:
    """The measures of what a task trained."""
    condition = task["condition"]
    return Evaluation(
        loaded(Path(task["folder"]) / "run" / "final"),
        Path(task["evaluations"]),
        Path(task["truth"]),
        {condition: Settings(**task["settings"]).truth(condition)},
        task["hands"],
    )


def run(task: dict[str, Any]) -> int:
    """Trains and measures what is missing; returns the exit status."""
    return train_then(task, _measure)


def run_start(task: dict[str, Any]) -> int:
    """Trains the common start where it is missing; returns the exit status."""
    return train_then(task, lambda _: None)


def _measure(task: dict[str, Any]) -> None:
    evaluation = evaluation_of(task)
    evaluation.tryon()
    evaluation.references()


if __name__ == "__main__":
    raise SystemExit(run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))

"""One arm and seed: trains or goes on, measures, writes what it found.

    python -m benchmarks.world.one_run TASK.json

TASK.json is written by :mod:`benchmarks.world.comparing`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.arm_runs import train_then
from benchmarks.world.evaluating import Evaluation
from benchmarks.world.settings import Settings


def run(task: dict[str, Any]) -> int:
    """Trains and measures what is missing; returns the exit status."""
    return train_then(task, _measure)


def _measure(task: dict[str, Any]) -> None:
    settings = Settings(**{**task["settings"], "splits": tuple(task["settings"]["splits"])})
    model = Path(task["folder"]) / "run" / "final"
    evaluation = Evaluation(model, Path(task["evaluations"]), Path(task["truth"]), settings)
    evaluation.world()
    evaluation.references()


if __name__ == "__main__":
    raise SystemExit(run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))

"""One arm and seed: trains or goes on, measures, writes what it found.

    python -m benchmarks.tryon.one_run TASK.json

TASK.json is written by :mod:`benchmarks.tryon.comparing`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.arm_runs import trained
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
    try:
        trained(task)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    evaluation = evaluation_of(task)
    evaluation.tryon()
    evaluation.references()
    return 0


if __name__ == "__main__":
    raise SystemExit(run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))

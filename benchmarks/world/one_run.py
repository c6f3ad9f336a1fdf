"""One arm and seed: trains or goes on, measures, writes what it found.

    python -m benchmarks.world.one_run TASK.json

TASK.json is written by :mod:`benchmarks.world.comparing`.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.world.evaluating import Evaluation
from benchmarks.world.settings import Settings
from vision.whole_file import written_aside


def words(task: dict[str, Any]) -> list[str]:
    """What the entry point that trains the arm is told; it goes on where it stopped."""
    told = [task["recipe"]]
    for name, value in task["changes"].items():
        told += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    return [*told, "--resume", "latest"]


def trained(task: dict[str, Any]) -> dict[str, Any]:
    """What the training cost; trains what is missing.

    Raises:
        RuntimeError: the training ended with an error, which it printed.
    """
    folder = Path(task["folder"])
    result = folder / "trained.json"
    if not result.is_file():
        if importlib.import_module(task["module"]).main(words(task)):
            raise RuntimeError(f"the training in {folder} failed")
        log = (folder / "run" / "sessions.jsonl").read_text(encoding="utf-8").splitlines()
        sessions = [json.loads(line) for line in log]
        facts = {"seconds": sum(session["seconds"] for session in sessions), "code": sessions[-1]["code"]}
        with written_aside(result) as aside:
            aside.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return json.loads(result.read_text(encoding="utf-8"))


def run(task: dict[str, Any]) -> int:
    """Trains and measures what is missing; returns the exit status."""
    try:
        trained(task)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    settings = Settings(**{**task["settings"], "splits": tuple(task["settings"]["splits"])})
    model = Path(task["folder"]) / "run" / "final"
    evaluation = Evaluation(model, Path(task["evaluations"]), Path(task["truth"]), settings)
    evaluation.world()
    evaluation.references()
    return 0


if __name__ == "__main__":
    raise SystemExit(run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))

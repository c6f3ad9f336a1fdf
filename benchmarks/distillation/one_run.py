"""One run of the comparison in a process of its own: trains or goes on, measures, writes what it found.

    python -m benchmarks.distillation.one_run TASK.json

TASK.json is written by :mod:`benchmarks.distillation.__main__`.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

from benchmarks.distillation.arms import ARMS
from benchmarks.distillation.measuring import even, measure_arms, measure_model
from benchmarks.distillation.passes import JOBS, iterations_within
from infer.comparison import Arm
from train.cli import Invocation
from train.jobs.job import run_job
from vision.whole_file import written_aside


def run(task: dict[str, Any]) -> dict[str, Any]:
    """What one arm and seed gave."""
    folder = Path(task["folder"])
    arm = next(arm for arm in ARMS if arm.name == task["arm"])
    recipe = arm.recipe(folder / "run", task["seed"], 1, **task["changes"][arm.kind])
    steps = iterations_within(recipe, task["budget"])
    recipe = arm.recipe(folder / "run", task["seed"], steps, **task["changes"][arm.kind])
    if status := run_job(JOBS[arm.kind], Invocation(recipe, "latest", False)):
        raise SystemExit(status)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sessions = [json.loads(line) for line in (folder / "run" / "sessions.jsonl").read_text().splitlines()]
    picture = folder / "pictures.png"
    scores = measure_model(
        folder / "run" / "final",
        Path(task["prompts"]),
        Path(task["metrics"]),
        task["samples"],
        task["seed"],
        picture,
    )
    return {
        "iterations": steps,
        "seconds": sum(session["seconds"] for session in sessions),
        "peak_bytes": peak,
        "code": sessions[-1]["code"],
        "scores": scores,
    }


def teacher(task: dict[str, Any]) -> dict[str, Any]:
    """What the teacher gives with one seed of the noise."""
    folder = Path(task["folder"])
    arms = [Arm(f"{n} on", task["teacher"], n, even(n)) for n in task["steps"]]
    pictures = {f"{n} on": folder / f"pictures-{n}.png" for n in task["steps"]}
    paths = Path(task["prompts"]), Path(task["metrics"])
    return {"scores": measure_arms(arms, *paths, task["samples"], task["seed"], pictures)}


def main(argv: list[str]) -> int:
    """Runs the task of a file, unless its result is there."""
    task = json.loads(Path(argv[0]).read_text())
    result = Path(task["folder"]) / "result.json"
    found = teacher(task) if task["arm"] == "teacher" else run(task)
    with written_aside(result) as aside:
        aside.write_text(json.dumps({"task": task, **found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""Arms of a comparison: which are asked for, their trainings, and several of them side by side."""

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

from vision.whole_file import written_aside

ROOT = Path(__file__).parents[1]


class Named(Protocol):
    """What has a name."""

    @property
    def name(self) -> str: ...


AnyArm = TypeVar("AnyArm", bound=Named)


def chosen_arms(arms: Sequence[AnyArm], wanted: Sequence[str] | None) -> list[AnyArm]:
    """The arms of these names, in their own order; all for None.

    Raises:
        ValueError: a name that no arm has.
    """
    names = [arm.name for arm in arms]
    if unknown := set(wanted or ()) - set(names):
        raise ValueError(
            f"no arm is called {', '.join(sorted(unknown))}; expected some of {', '.join(names)}"
        )
    return [arm for arm in arms if wanted is None or arm.name in wanted]


def model_names(options: argparse.Namespace) -> list[str]:
    """What each ``--model`` of a command line is called: its ``--name``, or else its folder's.

    Raises:
        ValueError: not a name of its own for each, or a ``--teacher`` that none has.
    """
    names = options.name or [
        path.parent.name if path.name == "final" else path.name for path in options.model
    ]
    if len(names) != len(options.model) or len(set(names)) < len(names):
        raise ValueError(
            f"there are {len(options.model)} models with the names {', '.join(names)}; give each one "
            "a --name of its own"
        )
    if options.teacher is not None and options.teacher not in names:
        raise ValueError(f"--teacher is {options.teacher!r}, expected one of {', '.join(names)}")
    return names


def recipe_words(task: dict[str, Any]) -> list[str]:
    """What the entry point that trains an arm is told; it goes on where it stopped."""
    told = [task["recipe"]]
    for name, value in task["changes"].items():
        told += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    return [*told, "--resume", "latest"]


def trained(task: dict[str, Any]) -> dict[str, Any]:
    """What the training cost; trains what is missing.

    Args:
        task: ``folder`` of the run and its mark, ``module`` of the entry point, ``recipe`` and ``changes`` in
            it, by which the run goes into ``<folder>/run``.

    Raises:
        RuntimeError: the training ended with an error, which it printed.
    """
    folder = Path(task["folder"])
    result = folder / "trained.json"
    if not result.is_file():
        if importlib.import_module(task["module"]).main(recipe_words(task)):
            raise RuntimeError(f"the training in {folder} failed")
        log = (folder / "run" / "sessions.jsonl").read_text(encoding="utf-8").splitlines()
        sessions = [json.loads(line) for line in log]
        facts = {"seconds": sum(session["seconds"] for session in sessions), "code": sessions[-1]["code"]}
        with written_aside(result) as aside:
            aside.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return json.loads(result.read_text(encoding="utf-8"))


def train_then(task: dict[str, Any], measure: Callable[[dict[str, Any]], None]) -> int:
    """Trains what is missing of a task and has it measured; returns the exit status."""
    try:
        trained(task)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    measure(task)
    return 0


def run_tasks(
    rounds: Sequence[Sequence[dict[str, Any]]],
    jobs: int,
    run: Callable[[dict[str, Any]], int],
    module: str,
) -> bool:
    """Runs tasks, those of a round side by side and one round after the other.

    Args:
        rounds: tasks with a ``folder``; a round begins when none before it failed.
        jobs: at a time. One at a time runs in this process, several each in one of its own with one thread,
            with what they print in ``<folder>/log.txt``.
        run: what a task is given to; returns the exit status.
        module: the same as a program, which is given the file of a task.

    Returns:
        Whether all succeeded; those that did not are told on standard error.
    """

    def in_a_process(task: dict[str, Any]) -> int:
        return _in_a_process(task, module)

    failed = []
    with tqdm(total=sum(map(len, rounds)), unit="arm", smoothing=0) as progress:
        for tasks in rounds:
            with ThreadPoolExecutor(jobs) as pool:
                done = map(run, tasks) if jobs == 1 else pool.map(in_a_process, tasks)
                for task, status in zip(tasks, done, strict=True):
                    progress.update()
                    if status:
                        failed.append(task["folder"])
            if failed:
                print(f"error: {len(failed)} arms failed: {', '.join(failed)}", file=sys.stderr)
                return False
    return True


def _in_a_process(task: dict[str, Any], module: str) -> int:
    folder = Path(task["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.json").write_text(json.dumps(task, indent=1) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", module, str(folder / "task.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "log.txt").open("a") as log:
        return subprocess.run(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, check=False
        ).returncode

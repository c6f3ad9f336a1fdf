"""Both ways of the comparison: arms that are trained, and models that are given."""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.world import one_run
from benchmarks.world.arms import ARMS
from benchmarks.world.evaluating import STRIP, Evaluation
from benchmarks.world.planning import planned_tasks
from benchmarks.world.report import Row, write_report
from benchmarks.world.settings import QUICK, UNSEEN, Settings
from vision.world.clip_plan import SPLITS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "world"


def compare_models(options: argparse.Namespace, asked: str) -> int:
    """Measures given models and writes the report with its targets."""
    settings = _settings(options)
    names = options.name or [_named(path) for path in options.model]
    if len(names) != len(options.model) or len(set(names)) < len(names):
        raise ValueError(
            f"there are {len(options.model)} models with the names {', '.join(names)}; give each one "
            "a --name of its own"
        )
    if options.teacher is not None and options.teacher not in names:
        raise ValueError(f"--teacher is {options.teacher!r}, expected one of {', '.join(names)}")
    rows, references = [], []
    for name, path in zip(names, options.model, strict=True):
        evaluation = Evaluation(path, options.work / "evaluations", options.truth, settings)
        student = options.teacher is not None and name != options.teacher
        rows.append(
            Row(
                name,
                name,
                [evaluation.world()],
                evaluation.folder / STRIP,
                teacher=options.teacher if student else None,
                model=path,
            )
        )
        references = references or _references(evaluation, f"{name}'s")
    out = options.out or options.work / "models"
    print(write_report(rows, references, settings, out, asked, judged=True))
    print(f"report  {out / 'results.md'}")
    return 0


def compare_arms(options: argparse.Namespace, asked: str) -> int:
    """Trains and measures all arms and seeds that are missing, and writes the report."""
    settings = _settings(options)
    seeds = 1 if options.quick else options.seeds
    unknown = set(options.arms or ()) - {arm.name for arm in ARMS}
    if unknown:
        raise ValueError(
            f"no arm is called {', '.join(sorted(unknown))}; expected some of "
            f"{', '.join(arm.name for arm in ARMS)}"
        )
    arms = [arm for arm in ARMS if options.arms is None or arm.name in options.arms]
    missing = {arm.teacher for arm in arms if arm.teacher} - {arm.name for arm in arms}
    if missing:
        raise ValueError(f"students need their teacher; add {', '.join(sorted(map(str, missing)))} to --arms")
    tasks = planned_tasks(arms, seeds, settings, options)
    failed = []
    with tqdm(total=len(tasks), unit="arm", smoothing=0) as progress:
        # Teachers first; students read their folders.
        for kind in ("world", "student"):
            some = [task for task in tasks if task["kind"] == kind]
            with ThreadPoolExecutor(options.jobs) as pool:
                # One at a time needs no processes of its own.
                done = map(one_run.run, some) if options.jobs == 1 else pool.map(_run, some)
                for task, status in zip(some, done, strict=True):
                    progress.update()
                    if status:
                        failed.append(task["folder"])
            if failed:
                print(f"error: {len(failed)} arms failed: {', '.join(failed)}", file=sys.stderr)
                return 1
    rows, references = [], []
    for arm in arms:
        own = [task for task in tasks if task["arm"] == arm.name]
        evaluations = [_evaluation(task, settings, options) for task in own]
        found = [
            evaluation.world() | {"training": one_run.trained(task)}
            for evaluation, task in zip(evaluations, own, strict=True)
        ]
        model = Path(own[0]["folder"]) / "run" / "final"
        strip = evaluations[0].folder / STRIP
        rows.append(Row(arm.name, arm.label, found, strip, teacher=arm.teacher, model=model))
        references = references or _references(evaluations[0], "their")
    out = options.out or (options.work / "quick" if options.quick else RESULTS)
    print(write_report(rows, references, settings, out, asked, judged=False))
    print(f"report  {out / 'results.md'}\nruns    {options.work}")
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    base = QUICK if options.quick else Settings()
    given = {
        name: getattr(options, name)
        for name in ("starts", "stick_starts", "frames", "drift_chunks", "drift_worlds", "sweep_starts")
        if getattr(options, name) is not None
    }
    if options.splits is not None:
        if UNSEEN not in options.splits or not set(options.splits) <= set(SPLITS):
            raise ValueError(
                f"--splits are {', '.join(options.splits)}; expected {UNSEEN} and any of {', '.join(SPLITS)}"
            )
        given["splits"] = tuple(split for split in SPLITS if split in options.splits)
    return replace(base, **given)


def _run(task: dict[str, Any]) -> int:
    """The task in a process of its own, what it prints in a log."""
    folder = Path(task["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.json").write_text(json.dumps(task, indent=1) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.world.one_run", str(folder / "task.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "log.txt").open("a") as log:
        return subprocess.run(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, check=False
        ).returncode


def _evaluation(task: dict[str, Any], settings: Settings, options: argparse.Namespace) -> Evaluation:
    model = Path(task["folder"]) / "run" / "final"
    return Evaluation(model, options.work / "evaluations", options.truth, settings)


def _references(evaluation: Evaluation, whose: str) -> list[Row]:
    labels = {
        "autoencoder": f"the engine, through {whose} autoencoder",
        "first frame": "the first frame, copied",
    }
    return [Row(name, labels[name], [found], None) for name, found in evaluation.references().items()]


def _named(path: Path) -> str:
    return path.parent.name if path.name == "final" else path.name

"""Both ways of the comparison: arms that are trained, and models that are given."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.arm_runs import ROOT, chosen_arms, model_names, run_tasks, trained
from benchmarks.world import one_run
from benchmarks.world.arms import ARMS
from benchmarks.world.evaluating import STRIP, Evaluation
from benchmarks.world.planning import planned_tasks
from benchmarks.world.report import Row, write_report
from benchmarks.world.settings import QUICK, UNSEEN, Settings
from vision.world.clip_plan import SPLITS

RESULTS = ROOT / "benchmarks" / "results" / "world"


def compare_models(options: argparse.Namespace, asked: str) -> int:
    """Measures given models and writes the report with its targets."""
    settings = _settings(options)
    names = model_names(options)
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
    arms = chosen_arms(ARMS, options.arms)
    missing = {arm.teacher for arm in arms if arm.teacher} - {arm.name for arm in arms}
    if missing:
        raise ValueError(f"students need their teacher; add {', '.join(sorted(map(str, missing)))} to --arms")
    tasks = planned_tasks(arms, seeds, settings, options)
    # Teachers first; students read their folders.
    rounds = [[task for task in tasks if task["kind"] == kind] for kind in ("world", "student")]
    if not run_tasks(rounds, options.jobs, one_run.run, one_run.__name__):
        return 1
    rows, references = [], []
    for arm in arms:
        own = [task for task in tasks if task["arm"] == arm.name]
        evaluations = [_evaluation(task, settings, options) for task in own]
        found = [
            evaluation.world() | {"training": trained(task)}
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


def _evaluation(task: dict[str, Any], settings: Settings, options: argparse.Namespace) -> Evaluation:
    model = Path(task["folder"]) / "run" / "final"
    return Evaluation(model, options.work / "evaluations", options.truth, settings)


def _references(evaluation: Evaluation, whose: str) -> list[Row]:
    labels = {
        "autoencoder": f"the engine, through {whose} autoencoder",
        "first frame": "the first frame, copied",
    }
    return [Row(name, labels[name], [found], None) for name, found in evaluation.references().items()]

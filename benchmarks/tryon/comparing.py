"""Both ways of the comparison: arms that are trained, and models that are given."""

import argparse
from dataclasses import replace
from pathlib import Path

from benchmarks.arm_runs import ROOT, chosen_arms, model_names, run_tasks, trained
from benchmarks.tryon import one_run
from benchmarks.tryon.arms import ARMS
from benchmarks.tryon.evaluating import Evaluation, loaded
from benchmarks.tryon.planning import draw_clips, planned_tasks
from benchmarks.tryon.report import Row, write_report
from benchmarks.tryon.settings import QUICK, QUICK_ARMS, Settings, model_truth

RESULTS = ROOT / "benchmarks" / "results" / "tryon"


def compare_models(options: argparse.Namespace, asked: str) -> int:
    """Measures given models and writes the report with its targets."""
    settings, names = _settings(options), model_names(options)
    pipelines = [loaded(path) for path in options.model]
    lengths: dict[int, str] = {
        pipe.config["window_frames"]: name for name, pipe in zip(names, pipelines, strict=True)
    }
    if len(lengths) > 1:
        told = ", ".join(f"{name} {frames}" for frames, name in lengths.items())
        raise ValueError(f"models of several lengths cannot share a table; found frames of {told}")
    sets = model_truth(next(iter(lengths)), settings.clips)
    rows, references = [], []
    for name, path, pipeline in zip(names, options.model, pipelines, strict=True):
        evaluation = Evaluation(pipeline, options.work / "evaluations", options.truth, sets)
        teacher = options.teacher if name != options.teacher else None
        found = evaluation.tryon()
        strips = {kind: evaluation.strip(kind) for kind in sets}
        rows.append(Row(name, name, [found], strips, teacher=teacher, model=path))
        references = references or _references(evaluation)
    out = options.out or options.work / "models"
    print(write_report(rows, references, settings, out, asked, judged=True))
    print(f"report  {out / 'results.md'}")
    return 0


def compare_arms(options: argparse.Namespace, asked: str) -> int:
    """Draws the clips, trains and measures all arms and seeds that are missing, and writes the report."""
    settings = _settings(options)
    seeds = 1 if options.quick else options.seeds
    arms = chosen_arms(ARMS, options.arms or (QUICK_ARMS if options.quick else None))
    if not (options.vae / "config.json").is_file():
        raise ValueError(
            f"there is no autoencoder in {options.vae}; train one (python -m train.autoencoder "
            "configs/tryon/autoencoder.yaml) and give its folder as --vae"
        )
    draw_clips(arms, settings, options)
    start, tasks = planned_tasks(arms, seeds, settings, options)
    if one_run.run_start(start) or not run_tasks([tasks], options.jobs, one_run.run, one_run.__name__):
        return 1
    rows: list[Row] = []
    references: dict[str, Row] = {}
    for arm in arms:
        own = [task for task in tasks if task["arm"] == arm.name]
        evaluations = [one_run.evaluation_of(task) for task in own]
        found = [
            evaluation.tryon() | {"training": trained(task)}
            for evaluation, task in zip(evaluations, own, strict=True)
        ]
        strips = {arm.condition: evaluations[0].strip(arm.condition)}
        rows.append(
            Row(
                arm.name,
                arm.label,
                found,
                strips,
                model=options.work / Path(own[0]["folder"]).name / "run" / "final",
            )
        )
        for row in _references(evaluations[0]):
            # Each arm measures its own kind of clips; a reference has one row with all kinds.
            if row.name in references:
                references[row.name].runs[0]["sets"].update(row.runs[0]["sets"])
            else:
                references[row.name] = row
    out = options.out or (options.work / "quick" if options.quick else RESULTS)
    print(write_report(rows, list(references.values()), settings, out, asked, judged=False))
    print(f"report  {out / 'results.md'}\nruns    {options.work}")
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    base = QUICK if options.quick else Settings()
    names = ("clips", "train_clips", "start_steps", "steps")
    given = {name: getattr(options, name) for name in names}
    return replace(base, **{name: value for name, value in given.items() if value is not None})


def _references(evaluation: Evaluation) -> list[Row]:
    return [Row(name, name, [found], {}) for name, found in evaluation.references().items()]

"""The comparison's table, curves and sample grids, from the results of its runs."""

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.distillation.arms import ARMS
from benchmarks.distillation.measuring import HIGHEST, LOWEST, OFF_GRID_SCHEDULES, OFF_GRID_STEPS, STEPS
from vision.media import image_grid
from vision.provenance import machine_facts

LABELS = {"teacher": "teacher, guided", **{arm.name: arm.label for arm in ARMS}}
Groups = dict[str, list[dict[str, Any]]]


def write_report(results: list[dict[str, Any]], out: Path, command: str) -> str:
    """Writes table.md, results.json, curves.png and samples.png; returns the table."""
    out.mkdir(parents=True, exist_ok=True)
    groups: Groups = defaultdict(list)
    for result in results:
        groups[result["task"]["arm"]].append(result)
    text = _table(groups, command)
    (out / "table.md").write_text(text, encoding="utf-8")
    (out / "results.json").write_text(json.dumps(_plain(groups), indent=1) + "\n", encoding="utf-8")
    _curves(groups, out / "curves.png")
    _samples(groups, out / "samples.png")
    return text


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean, and its standard error; nan with one value."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))


def _values(results: list[dict[str, Any]], grid: str, key: str) -> list[float]:
    return [score[key] for result in results for score in result["scores"] if score["grid"] == grid]


def _cell(results: list[dict[str, Any]], grid: str, key: str, digits: int) -> str:
    values = _values(results, grid, key)
    if not values:
        return ""
    mean, error = mean_and_error(values)
    return f"{mean:.{digits}f}" + ("" if math.isnan(error) else f" ± {error:.{digits}f}")


def _table(groups: Groups, command: str) -> str:
    task = next(iter(groups.values()))[0]["task"]
    students = {name: results for name, results in groups.items() if name != "teacher"}
    grids = [f"{n} on" for n in STEPS] + [f"{n} off" for n in OFF_GRID_STEPS]
    named = {f"{n} on": f"{n} step{'s' * (n > 1)}" for n in STEPS} | {
        f"{n} off": f"{n} steps, random" for n in OFF_GRID_STEPS
    }
    lines = ["# Few-step methods at equal cost", "", f"`{command}`", ""]
    # The code is what the runs were made with, each of them on one thread.
    code = ", ".join(sorted({result["code"] for results in students.values() for result in results}))
    facts = {**machine_facts(torch.device("cpu")), "code": code, "threads": 1}
    machine = ", ".join(f"{name} {value}" for name, value in facts.items())
    seeds = len(next(iter(students.values()))) if students else len(groups["teacher"])
    lines += [
        f"Each student cost {task['budget']:,} passes a sample of its batch; a pass is one call of the "
        "transformer for one sample, backward counted as two, a forward derivative as one. "
        f"{seeds} seed{'s' * (seeds != 1)}, mean ± standard error; {task['samples']:,} pictures a "
        f"measurement. Random grids: {OFF_GRID_SCHEDULES} schedules, 1 and falling draws of "
        f"U({LOWEST}, {HIGHEST}), a batch each, the same for every method. Machine: {machine}.",
        "",
    ]
    for title, key, digits in (
        ("Fréchet distance (lower is better)", "frechet", 3),
        ("Classifier accuracy (does the picture show its prompt)", "accuracy", 3),
        ("Diversity within a prompt (mean feature distance)", "diversity", 2),
    ):
        lines += [
            f"## {title}",
            "",
            "| | " + " | ".join(named.values()) + " |",
            "|---|" + "---:|" * len(named),
        ]
        for name, results in students.items():
            cells = [_cell(results, grid, key, digits) for grid in grids]
            lines.append(f"| {LABELS[name]} | " + " | ".join(cells) + " |")
        lines.append("")
    if "teacher" in groups:
        lines += [
            "## Teacher",
            "",
            "| steps | evaluations | Fréchet distance | accuracy | diversity |",
            "|---|---:|---:|---:|---:|",
        ]
        for n in task["steps"]:
            grid, results = f"{n} on", groups["teacher"]
            evaluations = int(_values(results, grid, "evaluations")[0])
            cells = [
                _cell(results, grid, k, d) for k, d in (("frechet", 3), ("accuracy", 3), ("diversity", 2))
            ]
            lines.append(f"| {n} | {evaluations} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += ["## Cost", "", "| | iterations | minutes | peak memory | needs |", "|---|---:|---:|---:|---|"]
    for name, results in students.items():
        minutes = min(result["seconds"] for result in results) / 60
        peak = max(result["peak_bytes"] for result in results) / 2**30
        needs = "pictures" if next(arm for arm in ARMS if arm.name == name).needs_pictures else "prompts"
        iterations = sum(result["iterations"] for result in results) / len(results)
        lines.append(f"| {LABELS[name]} | {iterations:.0f} | {minutes:.1f} | {peak:.2f} GiB | {needs} |")
    lines += [
        "",
        "Minutes of one thread, of the fastest seed, beside another run. Peak memory is the process's.",
        "",
    ]
    return "\n".join(lines)


def _plain(groups: Groups) -> list[dict[str, Any]]:
    """The results without this machine's paths."""
    kept = ("budget", "samples", "arm", "seed", "steps")
    return [
        {
            "task": {name: result["task"][name] for name in kept},
            **{k: v for k, v in result.items() if k != "task"},
        }
        for results in groups.values()
        for result in results
    ]


def _curves(groups: Groups, path: Path) -> None:
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    on, off = figure.subplots(1, 2, sharey=True)
    for axes, steps, suffix, title in (
        (on, STEPS, "on", "even grids (4 steps: the trained one)"),
        (off, OFF_GRID_STEPS, "off", "random grids"),
    ):
        for number, (name, results) in enumerate(groups.items()):
            if name == "teacher":
                continue
            points = [mean_and_error(_values(results, f"{n} {suffix}", "frechet")) for n in steps]
            style = {"linestyle": "--" if name.endswith("aware") else "-", "marker": "o", "markersize": 3}
            axes.errorbar(
                steps,
                [mean for mean, _ in points],
                [0 if math.isnan(error) else error for _, error in points],
                label=LABELS[name],
                color=f"C{number % 10}" if number <= 10 else "black",
                **style,
            )
        if "teacher" in groups:
            level, _ = mean_and_error(_values(groups["teacher"], "50 on", "frechet"))
            axes.axhline(level, color="grey", linestyle=":", label="teacher, 50 guided steps")
        axes.set(xscale="log", yscale="log", title=title, xlabel="steps")
        axes.set_xticks(steps, [str(n) for n in steps])
    on.set_ylabel("Fréchet distance")
    off.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=110)


def _samples(groups: Groups, path: Path) -> None:
    rows, labels = [], []
    for name, results in groups.items():
        folder = Path(results[0]["task"]["folder"])
        if name == "teacher":
            steps = results[0]["task"]["steps"]
            found = [(f"teacher, {n} guided steps", folder / f"pictures-{n}.png") for n in steps]
        else:
            found = [(LABELS[name], folder / "pictures.png")]
        for label, file in found:
            strip = Image.open(file).convert("RGB")
            side = strip.height
            rows.append([strip.crop((left, 0, left + side, side)) for left in range(0, strip.width, side)])
            labels.append(label)
    image_grid(rows, labels, scale=2).save(path)

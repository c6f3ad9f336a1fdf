"""The page of the comparison on real photographs."""

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.dehaze.speed import RELEASED, Ratio, StepCost
from benchmarks.transformer import table
from vision.provenance import machine_facts
from vision.whole_file import written_aside

#: What is to be reached: by how much of the input's FADE that of the adapter's pictures is lower.
FALL = 0.3
HAZY = "hazy photographs"


def mean_and_error(values: Sequence[float]) -> tuple[float, float, int]:
    """Mean, its standard error (NaN for one) and how many are numbers; NaN without any."""
    found = [value for value in values if math.isfinite(value)]
    if not found:
        return math.nan, math.nan, 0
    error = statistics.stdev(found) / math.sqrt(len(found)) if len(found) > 1 else math.nan
    return statistics.fmean(found), error, len(found)


def verdict(measures: Sequence[Mapping[str, float]]) -> tuple[bool, str]:
    """Whether fog density falls enough without entropy falling, and a sentence that says it."""
    fog, entropy = (
        [mean_and_error([m[f"{name}_{when}"] for m in measures])[0] for when in ("before", "after")]
        for name in ("fog", "entropy")
    )
    fall = 1 - fog[1] / fog[0]
    reached = fall >= FALL and entropy[1] >= entropy[0]
    return reached, (
        f"{'Reached' if reached else 'Not reached'}: with the adapter the mean FADE is {fall:.0%} lower than "
        f"that of the hazy photographs (to reach: {FALL:.0%}), and the mean entropy changes by "
        f"{entropy[1] - entropy[0]:+.3f} bits (to reach: no fall)."
    )


def quality_rows(results: Mapping[str, Sequence[Mapping[str, float]]]) -> list[list[str]]:
    """A row for the photographs and for each arm: FADE, entropy, and how many pictures are less foggy."""
    first = next(iter(results.values()))
    rows = [
        [HAZY, _cell([m["fog_before"] for m in first]), "", _cell([m["entropy_before"] for m in first]), ""]
    ]
    for name, measures in results.items():
        changes = [m["fog_after"] / m["fog_before"] - 1 for m in measures if math.isfinite(m["fog_before"])]
        fewer = sum(change < 0 for change in changes)
        rows.append(
            [
                name,
                _cell([m["fog_after"] for m in measures]),
                f"{fewer} of {len(changes)}",
                _cell([m["entropy_after"] for m in measures]),
                f"{255 * statistics.fmean(m['change'] for m in measures):.1f}",
            ]
        )
    return rows


def page(
    results: Mapping[str, Sequence[Mapping[str, float]]],
    facts: Mapping[str, Mapping[str, Any]],
    ratios: Mapping[str, Ratio],
    steps: Mapping[str, StepCost],
    told: Sequence[str],
    command: str,
    side: int,
) -> str:
    """The Markdown page.

    Args:
        results: :func:`infer.dehaze_measures.measure` of each picture, by arm.
        facts: parameters and bytes by arm.
        ratios: times by that of the base.
        steps: cost of a step of the search by hypergradient.
        told: sentences for the beginning.
        command: that made it.
        side: longest side of the pictures.
    """
    count = len(next(iter(results.values())))
    rows = quality_rows(results)
    sizes = [
        [name, f"{own['parameters']:,}", "" if own["bytes"] is None else f"{own['bytes'] / 1024:,.0f} KiB"]
        for name, own in facts.items()
    ]
    costs = [
        [mode, str(cost.passes), str(RELEASED), _ratio(cost.ratio), f"{cost.ratio.median / RELEASED:.2f}"]
        for mode, cost in steps.items()
    ]
    merged = ratios["merged"]
    free = "is the base's within noise" if merged.meets(ratios["base again"]) else "is not the base's"
    machine = ", ".join(f"{name} {value}" for name, value in machine_facts(torch.device("cpu")).items())
    lines = "\n".join(f"- {line}" for line in told)
    return (
        f"# Real haze\n\n`{command}`\n\n{lines}\n\n{count} photographs, no side longer than {side} pixels, "
        "without clear versions: mean ± standard error of FADE (less is clearer), how many are less foggy "
        "than before, entropy in bits, and the mean change in levels of 255.\n\n"
        f"{table(['', 'FADE', 'less foggy', 'entropy', 'change'], rows)}\n\n"
        f"{table(['', 'parameters', 'file'], sizes)}\n\n"
        "## Speed\n\nProcessor time by that of the base, both called in turn (median and quartiles). The "
        f"merged adapter's time {free}, which is what the quartiles of the base by itself are.\n\n"
        f"{table(['', 'time by that of the base'], [[name, _ratio(r)] for name, r in ratios.items()])}\n\n"
        "A step of the search on all candidates, in passes through the network (each forward and backward), "
        "beside the schedule of the released code, which is one upper, one lower and one weight pass. Times "
        "are by that of one pass with gradients of the whole adapter.\n\n"
        f"{table(['hypergradient', 'passes', 'released', 'time, passes', 'by released'], costs)}\n\n"
        f"![before and after](before_after.png)\n\nMachine: {machine}.\n"
    )


def write_pictures_table(
    results: Mapping[str, Sequence[Mapping[str, float]]], names: list[str], path: Path
) -> None:
    """Writes a row for each picture and arm."""
    fields = ["file", "arm", *next(iter(results.values()))[0]]
    with written_aside(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        for arm, measures in results.items():
            for name, found in zip(names, measures, strict=True):
                writer.writerow({"file": name, "arm": arm, **found})


def _cell(values: Sequence[float]) -> str:
    mean, error, _ = mean_and_error(values)
    return f"{mean:.3f}" + ("" if math.isnan(error) else f" ± {error:.3f}")


def _ratio(ratio: Ratio) -> str:
    return f"{ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f}, {ratio.count} pairs)"

"""Tables of a comparison in Markdown, with standard errors."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from vision.provenance import machine_facts


def pooled_runs(found: Sequence[Mapping[str, Any] | None]) -> tuple[float, float]:
    """Mean over seeds and its standard error; with one seed the value's own error over its clips.

    Args:
        found: for each seed what :meth:`vision.metrics.pooled.Pooled.facts` gave, or None.
    """
    known = [facts for facts in found if facts is not None and facts["value"] is not None]
    if not known:
        return math.nan, math.nan
    values = [facts["value"] for facts in known]
    mean = sum(values) / len(values)
    if len(values) == 1:
        error = known[0]["error"]
        return mean, math.nan if error is None else error
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))


def pooled_cell(found: Sequence[Mapping[str, Any] | None], digits: int) -> str:
    """Mean and standard error of :func:`pooled_runs`; empty where nothing was found."""
    mean, error = pooled_runs(found)
    if math.isnan(mean):
        return ""
    return f"{mean:.{digits}f}" + ("" if math.isnan(error) else f" ± {error:.{digits}f}")


def table(title: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table under its title; each row of the body begins with its label."""
    lines = [f"### {title}", "", "| | " + " | ".join(head) + " |", "|---|" + "---:|" * len(head)]
    return [*lines, *("| " + " | ".join(cells) + " |" for cells in body), ""]


def machine_words() -> str:
    """What the measures were made on and with."""
    return ", ".join(f"{name} {value}" for name, value in machine_facts(torch.device("cpu")).items())

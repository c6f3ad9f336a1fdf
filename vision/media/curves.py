"""Curves of a training run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vision.whole_file import written_aside


def plot_curves(records: Sequence[Mapping[str, Any]], path: Path | str) -> None:
    """Draws the logged values of a run over its steps as a PNG, one panel a group.

    Names are grouped by what stands before the first "/" (``lr/student`` and ``lr/fake`` share a panel);
    a panel whose values are all positive and span two decades has a logarithmic axis.

    Args:
        records: dictionaries with "step" and numbers by name; a name need not be in each. What is no
            number is left out (a log writes infinity as text).
        path: of the PNG, written whole or not at all.

    Raises:
        ValueError: no record holds a number besides its step.
    """
    groups: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for record in records:
        for name, value in record.items():
            if name == "step" or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            steps, values = groups.setdefault(name.split("/")[0], {}).setdefault(name, ([], []))
            steps.append(record["step"])
            values.append(value)
    if not groups:
        raise ValueError(f"no numbers to draw in {len(records)} records")
    columns = min(3, len(groups))
    rows = -(-len(groups) // columns)
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(4.5 * columns, 3 * rows), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        for place, (group, curves) in enumerate(groups.items(), start=1):
            axes = figure.add_subplot(rows, columns, place)
            for name, (steps, values) in curves.items():
                axes.plot(steps, values, label=name, linewidth=1, marker="." if len(steps) < 30 else None)
            every = [value for _, values in curves.values() for value in values]
            if min(every) > 0 and max(every) / min(every) > 100:
                axes.set_yscale("log")
            axes.set_title(group)
            axes.set_xlabel("step")
            axes.grid(alpha=0.3)
            if len(curves) > 1:
                axes.legend()
        with written_aside(Path(path)) as aside:
            figure.savefig(aside, format="png")

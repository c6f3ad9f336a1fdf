"""Curves of a training run."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vision.whole_file import written_aside

#: Pairs of a step and a value.
Curve = Sequence[tuple[int, float]]


def curves_of(records: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """The numbers of a log by name, in the order in which the names come up.

    Args:
        records: dictionaries with "step" and numbers by name; a name need not be in each. What is no
            number is left out (a log writes infinity as text).
    """
    curves: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        for name, value in record.items():
            if name != "step" and not isinstance(value, bool) and isinstance(value, int | float):
                curves.setdefault(name, []).append((record["step"], value))
    return curves


def plot_curves(records: Sequence[Mapping[str, Any]], path: Path | str) -> None:
    """Draws the logged values of a run over its steps as a PNG, one panel a group.

    Names are grouped by what stands before the first "/" (``lr/student`` and ``lr/fake`` share a panel).

    Args:
        records: see :func:`curves_of`.
        path: of the PNG, written whole or not at all.

    Raises:
        ValueError: no record holds a number besides its step.
    """
    groups: dict[str, dict[str, Curve]] = {}
    for name, curve in curves_of(records).items():
        groups.setdefault(name.split("/")[0], {})[name] = curve
    if not groups:
        raise ValueError(f"no numbers to draw in {len(records)} records")
    plot_panels(groups, path)


def plot_panels(
    panels: Mapping[str, Mapping[str, Curve]],
    path: Path | str,
    *,
    columns: int = 3,
    levels: Mapping[str, Mapping[str, float]] | None = None,
    caption: str = "",
) -> None:
    """Draws panels of curves over the same steps as a PNG.

    A panel whose values are all positive and span two decades has a logarithmic axis.

    Args:
        panels: at least one; curves by name, by title of the panel.
        path: of the PNG, written whole or not at all.
        columns: panels beside each other, at most.
        levels: by title and name of a curve, a value to which it is compared: a dashed line of its colour.
        caption: lines of text above the panels.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    wrapped = [part for line in caption.splitlines() for part in textwrap.wrap(line, 64 * columns)]
    with mpl.rc_context({"font.size": 8}):
        size = (4.5 * columns, 3 * rows + 0.18 * len(wrapped))
        figure = Figure(figsize=size, dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        if wrapped:
            figure.suptitle("\n".join(wrapped), x=0.01, ha="left", color="firebrick")
        axes = None
        for place, (title, curves) in enumerate(panels.items(), start=1):
            axes = figure.add_subplot(rows, columns, place, sharex=axes)
            _draw(axes, curves, (levels or {}).get(title, {}))
            axes.set_title(title)
        with written_aside(Path(path)) as aside:
            figure.savefig(aside, format="png")


def _draw(axes: Axes, curves: Mapping[str, Curve], levels: Mapping[str, float]) -> None:
    for name, curve in curves.items():
        steps, values = zip(*curve, strict=True)
        (line,) = axes.plot(steps, values, label=name, linewidth=1, marker="." if len(steps) < 30 else None)
        if name in levels:
            axes.axhline(levels[name], color=line.get_color(), linewidth=1, linestyle="--")
    every = [value for curve in curves.values() for _, value in curve]
    if min(every) > 0 and max(every) / min(every) > 100:
        axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend()

"""Figures of the comparison; each is left out where nothing was measured for it."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.world.settings import UNSEEN
from benchmarks.world.targets import GAIN, LEAKAGE, LOCAL
from vision.whole_file import written_aside
from vision.world.gamepad import BUTTONS

if TYPE_CHECKING:
    from benchmarks.world.report import Row


def draw_gain_leakage(rows: "list[Row]", path: Path) -> bool:
    """Mean gain of the local buttons over their mean leakage, a line through the scales of each arm."""
    figure = _figure(6.5, 4.5)
    axes = figure.subplots()
    drawn = False
    for row in rows:
        swept = row.runs[0]["sweep"] or {"": row.runs[0]["splits"][UNSEEN]["presses"]}
        points = []
        for scale in swept:
            sources = [run["sweep"][scale] if scale else run["splits"][UNSEEN]["presses"] for run in row.runs]
            points.append(
                [_mean([s[name].get(m) for s in sources for name in LOCAL]) for m in ("leakage", "gain")]
            )
        if any(math.isnan(value) for point in points for value in point):
            continue
        drawn = True
        axes.plot(*zip(*points, strict=True), marker="o", label=row.label)
        for scale, (leakage, gain) in zip(swept, points, strict=True):
            axes.annotate(scale, (leakage, gain), fontsize=7, xytext=(3, 3), textcoords="offset points")
    axes.axhline(GAIN, color="grey", linestyle=":")
    axes.axvline(LEAKAGE, color="grey", linestyle=":")
    axes.set(
        xlabel="leakage", ylabel="response gain", title=f"{', '.join(LOCAL)}; unseen maps; numbers are scales"
    )
    axes.legend(fontsize=7)
    return drawn and _saved(figure, path)


def draw_response_curves(rows: "list[Row]", path: Path) -> bool:
    """Strength of the response by frame for each button, the engine's in black."""
    figure = _figure(12, 6)
    for axes, name in zip(figure.subplots(2, 3).flat, BUTTONS, strict=True):
        for number, row in enumerate(rows):
            found = row.runs[0]["splits"][UNSEEN]["presses"][name]
            if "curve" not in found:
                continue
            if number == 0:
                axes.plot(found["true_curve"], color="black", linewidth=2, label="engine")
            axes.plot(found["curve"], label=row.label)
        axes.set(title=name, xlabel="frame", ylabel="mean |D| in U")
    figure.axes[0].legend(fontsize=7)
    return _saved(figure, path)


def draw_drift(rows: "list[Row]", path: Path) -> bool:
    """Distance from recorded frames, saturation and sharpness over the frames of streams."""
    found = [(row.label, row.runs[0]["drift"]["bins"]) for row in rows if row.runs[0]["drift"]]
    if not found:
        return False
    figure = _figure(12, 4)
    for axes, key in zip(figure.subplots(1, 3), ("distance", "saturated", "sharpness"), strict=True):
        places = [(place["first"] + place["last"]) / 2 for place in found[0][1]]
        axes.plot(
            places, [place[f"recorded_{key}"] for place in found[0][1]], color="black", label="recorded"
        )
        for label, bins in found:
            axes.plot(places[: len(bins)], [place[key] for place in bins], marker=".", label=label)
        axes.set(title=key, xlabel="frame")
    figure.axes[0].legend(fontsize=7)
    return _saved(figure, path)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _saved(figure: Figure, path: Path) -> bool:
    with written_aside(path) as aside:
        figure.savefig(aside, format="png")
    return True


def _mean(found: list[dict[str, Any] | None]) -> float:
    values = [facts["value"] for facts in found if facts is not None and facts["value"] is not None]
    return sum(values) / len(values) if values else math.nan

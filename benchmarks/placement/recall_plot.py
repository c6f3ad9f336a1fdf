"""The recall of planted blocks as bars."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vision.whole_file import written_aside


def draw_recall(shares: dict[str, dict[str, tuple[float, float, float]]], chance: float, path: Path) -> None:
    """Bars of recall with their intervals, a group a search.

    Args:
        shares: by search and score: share found, and the ends of its interval.
        chance: share that random blocks find, a dashed line.
        path: of the PNG.
    """
    figure = Figure(figsize=(2.5 + 2.2 * len(shares), 3.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    scores = list(next(iter(shares.values())))
    width = 0.8 / len(scores)
    for number, score in enumerate(scores):
        found = [own[score] for own in shares.values()]
        axes.bar(
            [place + (number - (len(scores) - 1) / 2) * width for place in range(len(shares))],
            [share for share, _, _ in found],
            width,
            yerr=[[share - low for share, low, _ in found], [high - share for share, _, high in found]],
            capsize=2,
            label=f"by {score}",
        )
    axes.axhline(chance, color="grey", linestyle="--", label="chance")
    axes.set_xticks(range(len(shares)), list(shares))
    axes.set(ylabel="planted blocks found", ylim=(0, 1))
    axes.legend(fontsize=7)
    with written_aside(path) as aside:
        figure.savefig(aside, format="png")

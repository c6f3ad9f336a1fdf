"""One picture of all comparisons."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.placement.quality.figures import ROWS, ZERO_OUT, Figures
from benchmarks.placement.quality.runs import FULL, UNIFORM, Comparison
from vision.whole_file import written_aside

_MARKS = {"gate": "v", "gate_norm": "s", "keep_only": "D", ZERO_OUT: "o"}


def draw_placements(found: list[tuple[Comparison, Figures]], path: Path) -> None:
    """A panel a comparison: PSNR of each subset as a dash, of the rows as marks, by network.

    Args:
        found: comparisons with their figures.
        path: of the PNG.
    """
    figure = Figure(figsize=(6 * len(found), 4.8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (comparison, numbers) in zip(
        figure.subplots(1, len(found), squeeze=False)[0], found, strict=True
    ):
        for net, subsets in enumerate(numbers.subsets):
            axes.scatter([net - 0.25] * len(subsets), list(subsets.values()), marker="_", color="grey")
            for row, color in (("base", "black"), ("random", "grey"), (UNIFORM, "C0"), (FULL, "C3")):
                if net >= len(numbers.values[row]):
                    continue
                axes.hlines(
                    numbers.mean(row, net),
                    net - 0.4,
                    net + 0.4,
                    color=color,
                    linestyle="--",
                    label=ROWS[row].partition(":")[0] if net == 0 else None,
                )
            for place, (row, mark) in enumerate(_MARKS.items()):
                values = numbers.values[row][net]
                axes.scatter(
                    [net - 0.05 + 0.12 * place] * len(values),
                    values,
                    marker=mark,
                    color=f"C{place + 1}",
                    label=ROWS[row] if net == 0 else None,
                )
        axes.set_xticks(range(len(numbers.subsets)), [f"net {net}" for net in range(len(numbers.subsets))])
        axes.set(title=f"{comparison.study.name}, {comparison.loss}", ylabel="PSNR, dB")
        axes.grid(alpha=0.3)
    shown = figure.axes[0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside lower center", ncols=4, fontsize=7)
    with written_aside(path) as aside:
        figure.savefig(aside, format="png")

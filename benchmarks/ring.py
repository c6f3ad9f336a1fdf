"""CDM on eight Gaussians on a ring, against distribution matching on a fixed grid that costs as much.

    python -m benchmarks.ring                            the whole table
    python -m benchmarks.ring --variants dmd-x2 cdm      the acceptance alone: minutes on one thread
    python -m benchmarks.ring --quick                    seconds; says nothing about quality

Accepted when, over random schedules of four steps, CDM's energy distance to the data is below 0.8 times that
of distribution matching drawn twice ("DMD x2"); otherwise the exit status is 1. On the trained grid and
in one step nothing is claimed.
"""

import argparse
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.ring_toy.distance import (
    ON_GRID,
    data_distance,
    distance,
    draw_data,
    draw_samples,
    off_grid_distance,
    off_grid_schedules,
)
from benchmarks.ring_toy.network import RingNetwork
from benchmarks.ring_toy.training import distill, train_start
from benchmarks.transformer import machine, table

RESULTS = Path(__file__).parent / "results"
ELSEWHERE = Path("outputs/ring")
SEEDS = 8
GROUP = 4
ACCEPTED = 0.8
MEASURES = ("off-grid 4-step", "on-grid 4-step", "1-step")


@dataclass
class Variant:
    """Options of the method, and what was measured: by name, one value a seed."""

    title: str
    options: dict[str, Any]
    measures: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    example: Tensor | None = None


_FIXED = {"fixed_grid": list(ON_GRID)}
_DMD = {"weight_off_trajectory": 0.0}
_TWICE = {**_DMD, "double_matching": True}
_AWARE = {"anchor_aware": True}


def variants() -> dict[str, Variant]:
    """All variants, nothing measured yet. Those of the acceptance are ``dmd-x2`` and ``cdm``."""
    return {
        "start": Variant("the start, not distilled", {}),
        "dmd": Variant("DMD, fixed grid", {**_DMD, **_FIXED}),
        "dmd-x2": Variant("DMD x2, fixed grid", {**_TWICE, **_FIXED}),
        "fixed-cdm": Variant("fixed grid + L_CDM", _FIXED),
        "dmd-dynamic": Variant("DMD, dynamic schedule", _DMD),
        "dmd-x2-dynamic": Variant("DMD x2, dynamic schedule", _TWICE),
        "cdm": Variant("CDM (dynamic schedule + L_CDM)", {}),
        "dmd-x2-aware": Variant("DMD x2, fixed grid, anchor-aware fake", {**_TWICE, **_FIXED, **_AWARE}),
        "cdm-aware": Variant(
            "CDM, anchor-aware fake, half of its data off the trajectory",
            {**_AWARE, "fake_on_off_trajectory": 0.5},
        ),
    }


def measure(network: RingNetwork) -> dict[str, Tensor]:
    """The three measures of each seed."""
    values = (
        off_grid_distance(network),
        distance(network, ON_GRID, key=100),
        distance(network, (1.0,), key=101),
    )
    return dict(zip(MEASURES, values, strict=True))


def run_group(chosen: Mapping[str, Variant], seeds: int, group: int, quick: bool) -> None:
    """Trains and measures the variants, first of them the start, for the seeds of one group."""
    noise = torch.randn(1500, 2, generator=torch.Generator().manual_seed(3))
    start: RingNetwork | None = None
    for name, variant in chosen.items():
        begun = time.process_time()
        if start is None:
            network = start = train_start(seeds, 300 if quick else 1500, seed=group)
        else:
            network = distill(start, 50 if quick else 1000, seed=group, **variant.options)
        for measure_name, values in measure(network).items():
            before = variant.measures.get(measure_name, torch.empty(0))
            variant.measures[measure_name] = torch.cat([before, values])
        if variant.example is None:
            variant.example = draw_samples(network, off_grid_schedules(1)[0], noise)[0]
        seconds = time.process_time() - begun
        variant.seconds += seconds
        values = ", ".join(f"{value:.1f}" for value in variant.measures[MEASURES[0]][-seeds:].tolist())
        print(f"group {group}, {name}: {values} in {seconds:.0f} CPU seconds", flush=True)


def summary(values: Tensor) -> str:
    """Mean and its standard error over the seeds."""
    return f"{values.mean():.2f} ± {values.std() / len(values) ** 0.5:.2f}"


def verdict(cdm: Tensor, control: Tensor) -> tuple[bool, str]:
    """Whether the mean of CDM is small enough beside the control's, and a sentence that says it."""
    ratio = (cdm.mean() / control.mean()).item()
    passed = ratio < ACCEPTED
    return passed, (
        f"{'Accepted' if passed else 'Not accepted'}: off-grid, CDM is at {ratio:.2f} of DMD x2 "
        f"({summary(cdm)} against {summary(control)}); expected below {ACCEPTED}."
    )


def draw_picture(chosen: Mapping[str, Variant], path: Path) -> None:
    """Data and one seed's samples along the first random schedule, a panel each, as a PNG."""
    panels = [("data", draw_data(1500, torch.Generator().manual_seed(4)))]
    panels += [(v.title, v.example) for v in chosen.values() if v.example is not None]
    columns = min(5, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(2.4 * columns, 2.6 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for place, (title, points) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, place)
        axes.scatter(*points.T.tolist(), s=1, linewidths=0)
        axes.set(xlim=(-2.3, 2.3), ylim=(-2.3, 2.3), aspect="equal", xticks=[], yticks=[])
        axes.set_title(title.replace(", ", ",\n"), fontsize=7)
    figure.savefig(path, format="png")


def report(chosen: Mapping[str, Variant], seeds: int, threads: int, sentence: str) -> str:
    """The Markdown page."""
    rows = [
        [v.title, *(summary(v.measures[name]) for name in MEASURES), f"{v.seconds:.0f}"]
        for v in chosen.values()
    ]
    times = ", ".join(f"{t:.2f}" for t in off_grid_schedules(1)[0])
    return (
        f"# CDM on a ring of eight Gaussians\n\n`python -m benchmarks.ring {' '.join(sys.argv[1:])}".rstrip()
        + f"` on {machine()}; {threads} thread(s); Python {platform.python_version()}, torch "
        f"{torch.__version__}.\n\n"
        f"{sentence}\n\n"
        f"Energy distance to the data x 1000, mean ± standard error over {seeds} seeds in groups of {GROUP} "
        "that share the schedules of their rollouts; smaller is better. Off-grid is the mean over 20 random "
        "schedules of four steps, 1 and three of U(.1, .95), fixed in advance; 3,000 samples against 3,000 "
        f"points. Fresh data are at {data_distance():.2f}. CPU seconds are of training and measuring all "
        "seeds.\n\n"
        f"{table(['variant', *MEASURES, 'CPU seconds'], rows)}\n\n"
        "What is gained depends on the network's time embedding (`benchmarks/ring_toy/network.py`); on the "
        "trained grid nothing is claimed.\n\n"
        f"![samples of one seed](ring.png)\n\nSamples of the first seed at the times {times}.\n"
    )


def main() -> None:
    """Trains, measures, prints and writes the results; exits with 1 when the acceptance fails."""
    names = [name for name in variants() if name != "start"]
    parser = argparse.ArgumentParser(description="CDM against DMD x2 on a ring of eight Gaussians.")
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="independent runs of each variant, 2 or more"
    )
    parser.add_argument(
        "--variants", nargs="+", default=names, choices=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument("--quick", action="store_true", help="a twentieth of the training; no verdict")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads")
    parser.add_argument(
        "--output",
        type=Path,
        help="folder of ring.md and ring.png; by default benchmarks/results for the whole table, "
        "outputs/ring for less",
    )
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error(f"--seeds is {arguments.seeds}; expected 2 or more, for a standard error")
    torch.set_num_threads(arguments.threads)
    chosen = {name: variant for name, variant in variants().items() if name in ("start", *arguments.variants)}
    for group, first in enumerate(range(0, arguments.seeds, GROUP)):
        run_group(chosen, min(GROUP, arguments.seeds - first), group, arguments.quick)

    passed, sentence = True, "Not judged: too short, or without dmd-x2 or cdm."
    if not arguments.quick and {"dmd-x2", "cdm"} <= chosen.keys():
        passed, sentence = verdict(*(chosen[name].measures[MEASURES[0]] for name in ("cdm", "dmd-x2")))
    whole = not arguments.quick and arguments.seeds == SEEDS and set(arguments.variants) == set(names)
    output = arguments.output or (RESULTS if whole else ELSEWHERE)
    output.mkdir(parents=True, exist_ok=True)
    page = report(chosen, arguments.seeds, arguments.threads, sentence)
    (output / "ring.md").write_text(page, encoding="utf-8")
    draw_picture(chosen, output / "ring.png")
    print(f"\n{page}\nwritten to {output}")
    if not passed:
        sys.exit(sentence)


if __name__ == "__main__":
    main()

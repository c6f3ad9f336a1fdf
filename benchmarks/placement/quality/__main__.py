"""What is the place of an adapter worth, at an equal number of parameters?

    python -m benchmarks.placement.quality                    three networks of three seeds, two losses: hours
    python -m benchmarks.placement.quality --studies unet --losses paired
    python -m benchmarks.placement.quality --quick            minutes; says nothing about quality

Accepted when on the U-Net with pairs the rank-one search with the zero-out score is half a decibel above a
random place on each network; otherwise the exit status is 1. Runs lie in ``--work``; the same command goes on
where an earlier one stopped.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.placement.quality.figures import figures
from benchmarks.placement.quality.objectives import LOSSES
from benchmarks.placement.quality.plan import count, tasks
from benchmarks.placement.quality.report import above_random, write_report
from benchmarks.placement.quality.runs import Comparison
from benchmarks.placement.quality.studies import STUDIES, study
from vision.command_line import at_least_one, exit_status

RESULTS = Path(__file__).parents[2] / "results" / "placement_quality.md"
FULL = {
    "nets": 3,
    "full_nets": 3,
    "seeds": 3,
    "subsets": 15,
    "subset_seeds": 2,
    "pretraining": 700,
    "search": 60,
    "tuning": 150,
    "layer_search": 30,
    "layer_tuning": 240,
    "full": 2000,
    "pictures": 96,
    "batch": 6,
}
QUICK = {
    "nets": 1,
    "full_nets": 1,
    "seeds": 1,
    "subsets": 2,
    "subset_seeds": 1,
    "pretraining": 20,
    "search": 4,
    "tuning": 4,
    "layer_search": 4,
    "layer_tuning": 4,
    "full": 8,
    "pictures": 12,
    "batch": 3,
}
#: Settings that the command line takes. Another length of full fine-tuning makes all runs anew.
_CHOSEN = ("nets", "full_nets", "seeds", "subsets", "subset_seeds", "full")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return exit_status(lambda: _compare(_parser().parse_args(argv)), whole="runs")


def _compare(options: argparse.Namespace) -> int:
    torch.set_num_threads(options.threads)
    settings: dict[str, Any] = dict(QUICK if options.quick else FULL)
    settings |= {name: value for name in _CHOSEN if (value := getattr(options, name)) is not None}
    comparisons = [
        Comparison(study(name), loss, settings, options.work)
        for name in options.studies
        for loss in options.losses
    ]
    with tqdm(total=sum(map(count, comparisons)), unit="run") as progress:
        for comparison in comparisons:
            for task in tasks(comparison):
                task()
                progress.update()
    found = [(comparison, figures(comparison)) for comparison in comparisons]
    output = options.output or (options.work / "placement_quality.md" if options.quick else RESULTS)
    told = [f"--{name.replace('_', '-')} {settings[name]}" for name in _CHOSEN]
    command = " ".join(
        [
            "python -m benchmarks.placement.quality --studies",
            *options.studies,
            "--losses",
            *options.losses,
            *told,
            *(["--output", str(output)] if options.output else []),
            *["--quick"] * options.quick,
        ]
    )
    print(write_report(found, output, command, judged=not options.quick))
    print(f"report  {output}\nruns    {options.work}")
    failed = [
        comparison
        for comparison, numbers in found
        if (comparison.study.name, comparison.loss) == ("unet", "paired") and not above_random(numbers)
    ]
    return 1 if failed and not options.quick else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.placement.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    names = [study.name for study in STUDIES]
    add("--studies", nargs="+", choices=names, default=names, help="some of the networks; default all")
    add("--losses", nargs="+", choices=LOSSES, default=list(LOSSES), help="some of the losses; default all")
    add("--nets", type=at_least_one, help=f"trained networks of each kind; default {FULL['nets']}")
    add(
        "--full-nets",
        type=at_least_one,
        help="of these, fine-tuned whole too, which takes longest; default all",
    )
    add("--seeds", type=at_least_one, help=f"of searches and fine-tunings; default {FULL['seeds']}")
    add("--subsets", type=at_least_one, help=f"random placements, at most; default {FULL['subsets']}")
    add("--subset-seeds", type=at_least_one, help=f"of each of them; default {FULL['subset_seeds']}")
    add("--full", type=at_least_one, help=f"steps of full fine-tuning; default {FULL['full']:,}")
    add("--threads", type=at_least_one, default=1, help="torch's threads; default 1")
    add("--work", type=Path, default=Path("outputs/bench-placement-quality"), help="folder of the runs")
    add(
        "--output",
        type=Path,
        help="the report; default benchmarks/results/placement_quality.md, quick beside the runs",
    )
    add("--quick", action="store_true", help="a few steps of everything")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())

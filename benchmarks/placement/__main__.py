"""Do the gates find the layers that need an adapter?

    python -m benchmarks.placement                  three networks, six planted cases each
    python -m benchmarks.placement --cases 15       every pair of blocks
    python -m benchmarks.placement --quick          a minute; says nothing about quality

Accepted when the rank-one search with the zero-out score finds seven in twelve of the planted blocks;
otherwise the exit status is 1. Runs lie in ``--work``; the same command goes on where an earlier one stopped.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.placement.recall_plot import draw_recall
from benchmarks.placement.report import page, shares, verdict
from benchmarks.placement.runs import METHODS, NAMES, PLANTED, cases, run_case
from vision.whole_file import written_aside

RESULTS = Path(__file__).parents[1] / "results" / "placement.md"
FULL = {"nets": 3, "cases": 6, "pretraining": 700, "steps": 100, "pictures": 96, "batch": 6}
QUICK = {"nets": 1, "cases": 2, "pretraining": 40, "steps": 6, "pictures": 12, "batch": 3}
_PAIRS = len(NAMES) * (len(NAMES) - 1) // 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.placement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--nets", type=int, help=f"trained networks; default {FULL['nets']}")
    add("--cases", type=int, help=f"planted pairs a network, at most {_PAIRS}; default {FULL['cases']}")
    add(
        "--methods",
        nargs="+",
        default=list(METHODS),
        choices=METHODS,
        help="some of the searches; default all",
    )
    add("--threads", type=int, default=1, help="torch's threads; default 1")
    add("--work", type=Path, default=Path("outputs/bench-placement"), help="folder of the runs")
    add(
        "--output",
        type=Path,
        help="the report; default benchmarks/results/placement.md, quick beside the runs",
    )
    add("--quick", action="store_true", help=f"{QUICK}")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    settings: dict[str, Any] = dict(QUICK if options.quick else FULL)
    settings |= {name: value for name in ("nets", "cases") if (value := getattr(options, name)) is not None}
    if settings["nets"] < 1 or not 1 <= settings["cases"] <= _PAIRS:
        print(f"error: expected 1 network or more and 1 to {_PAIRS} cases, found {settings}", file=sys.stderr)
        return 2
    # Runs of other settings are other runs.
    work = options.work / "-".join(f"{settings[n]}{n}" for n in ("pretraining", "steps", "pictures", "batch"))
    work.mkdir(parents=True, exist_ok=True)
    tasks = [
        (net, blocks, method)
        for net in range(settings["nets"])
        for blocks in cases(settings["cases"], net)
        for method in options.methods
    ]
    results = [run_case(*task, settings, work) for task in tqdm(tasks, unit="search")]
    output = options.output or (work / "placement.md" if options.quick else RESULTS)
    command = f"python -m benchmarks.placement --nets {settings['nets']} --cases {settings['cases']}"
    if set(options.methods) != set(METHODS):
        command += f" --methods {' '.join(options.methods)}"
    command += " --quick" * options.quick
    judged = not options.quick and "rank_one" in options.methods
    passed, sentence = verdict(results) if judged else (True, "Not judged: too short, or without rank-one.")
    picture = output.with_suffix(".png")
    draw_recall(shares(results), PLANTED / len(NAMES), picture)
    with written_aside(output) as aside:
        aside.write_text(page(results, settings, command, sentence, picture.name), encoding="utf-8")
    print(output.read_text(encoding="utf-8"))
    print(f"report  {output}\nruns    {work}")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())

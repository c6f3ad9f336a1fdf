"""Few-step methods side by side, at equal cost in network passes.

    python -m benchmarks.distillation --data DIR [--quick] [--seeds 3] [--budget 1800] [--jobs 2]

Every method distils the embedded teacher from its shipped recipe (configs/), with the length that costs the
same number of passes through the transformer; see :mod:`benchmarks.distillation.passes`. Each student is
measured at 1, 2, 4 and 8 steps on even grids (of which 4 is the trained one) and on random ones. Runs lie in
``--work``; the same command goes on where an earlier one stopped. The table and the pictures go to ``--out``.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.distillation.arms import ARMS, Arm
from benchmarks.distillation.report import write_report

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "distillation"
FILES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
#: What --quick changes.
QUICK = {"seeds": 1, "budget": 900, "samples": 400}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distillation", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, default=Path("data/fashion-mnist"), help="folder of Fashion-MNIST's idx files")
    add("--seeds", type=int, default=3, help="runs an arm; default 3")
    add(
        "--budget", type=int, default=1800, help="passes a sample of the batch that a run costs; default 1800"
    )
    add("--samples", type=int, default=1000, help="pictures a measurement; default 1000")
    add("--arms", nargs="+", default=[arm.name for arm in ARMS], help="some of the arms; default all")
    add("--jobs", type=int, default=2, help="runs at a time, each with one thread; default 2")
    add("--work", type=Path, default=Path("outputs/bench-distill"), help="folder of the runs")
    add(
        "--out",
        type=Path,
        help="folder of the report; default benchmarks/results/distillation, quick beside runs",
    )
    add("--quick", action="store_true", help=f"a table in about 20 minutes on two cores: {QUICK}")
    options = parser.parse_args(argv)
    if options.out is None:
        options.out = options.work / "quick" if options.quick else RESULTS
    if options.quick:
        vars(options).update(QUICK)
    try:
        arms = _arms(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    work = options.work / f"{options.budget}-passes-{options.samples}-samples"
    tasks = _tasks(arms, options, work)
    todo = [task for task in tasks if not (Path(task["folder"]) / "result.json").is_file()]
    failed = []
    with (
        ThreadPoolExecutor(options.jobs) as pool,
        tqdm(total=len(tasks), initial=len(tasks) - len(todo), unit="run", smoothing=0) as progress,
    ):
        for task, status in zip(todo, pool.map(_run, todo), strict=True):
            progress.update()
            if status:
                failed.append(task["folder"])
    if failed:
        print(f"error: {len(failed)} runs failed; each has a log.txt: {', '.join(failed)}", file=sys.stderr)
        return 1
    results = [json.loads((Path(task["folder"]) / "result.json").read_text()) for task in tasks]
    asked = f"--data DIR --seeds {options.seeds} --budget {options.budget} --samples {options.samples}"
    print(write_report(results, options.out, f"python -m benchmarks.distillation {asked}"))
    print(f"report  {options.out / 'table.md'}\nruns    {work}")
    return 0


def _arms(options: argparse.Namespace) -> list[Arm]:
    unknown = set(options.arms) - {arm.name for arm in ARMS}
    if unknown:
        raise ValueError(
            f"no arm is called {', '.join(sorted(unknown))}; expected some of "
            f"{', '.join(arm.name for arm in ARMS)}"
        )
    arms = [arm for arm in ARMS if arm.name in options.arms]
    missing = [name for name in FILES if not (options.data / name).is_file()]
    wanting = [arm.name for arm in arms if arm.needs_pictures]
    if missing and wanting:
        raise ValueError(
            f"{', '.join(wanting)} need pictures, and {options.data} lacks {' and '.join(missing)}; give the "
            "folder of Fashion-MNIST's files with --data, or leave these methods out with --arms"
        )
    return arms


def _tasks(arms: list[Arm], options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """Seed by seed, so that a stopped comparison has whole columns."""
    common = {
        "budget": options.budget,
        "samples": options.samples,
        "prompts": "configs/prompts/fashion_classes.txt",
        "metrics": "checkpoints/fashion-features",
        "teacher": "checkpoints/fashion-teacher",
        "steps": [50, 8, 4],
    }
    pictures = {
        "data.path": str(options.data.resolve() / FILES[0]),
        "data.labels_path": str(options.data.resolve() / FILES[1]),
    }
    cache = {"cache": str((options.work / "cache").resolve())}
    changes = {arm.kind: {**cache, **(pictures if arm.needs_pictures else {})} for arm in ARMS}
    return [
        {
            **common,
            "arm": name,
            "seed": seed,
            "changes": changes,
            "folder": str((work / f"{name}-{seed}").resolve()),
        }
        for seed in range(options.seeds)
        for name in ("teacher", *(arm.name for arm in arms))
    ]


def _run(task: dict[str, Any]) -> int:
    folder = Path(task["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.json").write_text(json.dumps(task, indent=1) + "\n")
    command = [sys.executable, "-m", "benchmarks.distillation.one_run", str(folder / "task.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "log.txt").open("a") as log:
        return subprocess.run(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, check=False
        ).returncode


if __name__ == "__main__":
    raise SystemExit(main())

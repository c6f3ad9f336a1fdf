"""Command lines of comparisons: arms that are trained side by side, or models that are given."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from vision.command_line import at_least_one


def run_comparison(
    program: str, options_of: Callable[[Sequence[str]], argparse.Namespace], argv: Sequence[str] | None
) -> int:
    """Runs the command line of a comparison; returns the exit status.

    Args:
        program: its package, whose module ``comparing`` has ``compare_models`` and ``compare_arms``: of the
            options and the command as it was asked for.
        options_of: reads the words of the command line; SystemExit where they are wrong.
        argv: the words; None for those of the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    options = options_of(words)
    comparing = import_module(f"{program}.comparing")
    asked = f"python -m {program} {shlex.join(words)}".rstrip()
    try:
        return (comparing.compare_models if options.model else comparing.compare_arms)(options, asked)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def comparison_parser(program: str, description: str | None, what: str) -> argparse.ArgumentParser:
    """A parser with the options that all comparisons have.

    Args:
        program: see :func:`run_comparison`.
        description: for the help, in its own lines.
        what: a model is called there.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", type=Path, action="append", default=[], help=f"folder of a {what} to measure; may repeat")
    add("--name", action="append", default=[], help="what the tables call a --model; default its folder")
    add("--teacher", help="name of the --model that the others are students of")
    add("--arms", nargs="+", help="some of the arms; default all")
    add("--seeds", type=at_least_one, default=3, help="runs an arm; default 3")
    add("--cache", type=Path, default=Path("outputs/cache"), help="folder of cached latents")
    add(
        "--jobs",
        type=at_least_one,
        default=1,
        help="arms at a time, each with one thread; default 1, in this process",
    )
    return parser

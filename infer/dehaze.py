"""Clears hazy photographs and videos.

python -m infer.dehaze --model outputs/dea/final --input photos --output clear --adapter day.safetensors
python -m infer.dehaze --model my_package.nets:build --weights mine.safetensors --input a.jpg --output clear
"""

import sys
from collections.abc import Sequence

from infer.dehaze_options import DehazeOptions, parse_dehaze_options
from vision.command_line import exit_status


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 1 where a file could not be read, 2 for a mistake."""
    return exit_status(lambda: _clear(parse_dehaze_options(argv)))


def _clear(options: DehazeOptions) -> int:
    from infer.dehaze_job import dehaze_files

    outcome = dehaze_files(options)
    for error in outcome.unreadable:
        print(f"unreadable: {error}", file=sys.stderr)
    if outcome.others:
        named = ", ".join(map(str, outcome.others[:3])) + (", ..." if len(outcome.others) > 3 else "")
        print(f"{len(outcome.others)} files are neither pictures nor videos and were left out: {named}")
    print(f"{outcome.made} cleared, {outcome.kept} were there already, {len(outcome.unreadable)} unreadable")
    if outcome.similarity is not None:
        print(outcome.similarity.told())
    print(f"cleared  {options.output}")
    for name, path in (("sheet", outcome.sheet), ("table", outcome.table)):
        if path is not None:
            print(f"{name}    {path}")
    return 1 if outcome.unreadable else 0


if __name__ == "__main__":
    raise SystemExit(main())

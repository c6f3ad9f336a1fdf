"""Finds the samples of a try-on data set that cannot be used, and says why.

python -m vision.tryon.check DIR
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 1 where a sample is bad, 2 where there are none."""
    parser = argparse.ArgumentParser(
        prog="python -m vision.tryon.check",
        description="Reads every sample of a data set and names those with files that are missing, damaged "
        "or of several sizes or lengths, another number of frames than 4n + 1, a mask that is empty, full or "
        "inverted, an agnostic video that shows the garment, actions that are reversed, overlap or end after "
        "the video, a garment without white around it, or an id that another sample has. Exits with 1 where "
        "there are any.",
    )
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="folder with meta.jsonl, or the root of ViViD"
    )
    parser.add_argument(
        "--vivid", type=Path, metavar="LIST", help="a list of ViViD such as test_data_180.jsonl"
    )
    parser.add_argument("--inverted", action="store_true", help="ViViD's masks are black inside")
    options = parser.parse_args(argv)
    if options.inverted and options.vivid is None:
        parser.error("--inverted is for --vivid; masks of an index are white where pixels are generated")
    try:
        return check(options.folder, options.vivid, options.inverted)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def check(folder: Path, vivid: Path | None = None, inverted: bool = False) -> int:
    """Prints what is wrong with each sample.

    Args:
        folder: with ``meta.jsonl``, or with folders that have one; the root of ViViD where there is a list.
        vivid: a list of ViViD.
        inverted: whether its masks are black where pixels are generated.

    Returns:
        1 where a sample is bad, else 0.

    Raises:
        ValueError: there is no index or list, or the list is damaged.
    """
    from vision.media.bad_item import BadItemError, report_bad_items
    from vision.tryon.faults import faults
    from vision.tryon.index import read_index
    from vision.tryon.readers import find_indexes, read_vivid
    from vision.tryon.sample import TryOnSample

    seen: set[str] = set()

    def faults_of(item: TryOnSample | BadItemError) -> "list[BadItemError]":
        if isinstance(item, BadItemError):
            return [item]
        name, found = item.record.id, list(faults(item))
        if name in seen:
            found.append(BadItemError("id", f"{name}: another sample has this id; give each its own"))
        seen.add(name)
        return found

    items: list[TryOnSample | BadItemError]
    if vivid is not None:
        items = [*read_vivid(folder, vivid, inverted)]
    else:
        items = [
            found if isinstance(found, BadItemError) else TryOnSample(found, index.parent)
            for index in find_indexes(folder)
            for found in read_index(index)
        ]
    return report_bad_items(items, faults_of, "sample", folder)


if __name__ == "__main__":
    raise SystemExit(main())

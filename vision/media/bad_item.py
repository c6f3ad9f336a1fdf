"""Items of a data set that cannot be used, and how a check tells of them."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


class BadItemError(ValueError):
    """An item that cannot be used; the message names the file.

    Args:
        kind: what is wrong, in a word or two.
        message: what was found and what was expected.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def report_bad_items(
    items: Sequence[Item], faults: Callable[[Item], Iterable[BadItemError]], noun: str, place: object
) -> int:
    """Prints every fault of every item, and how many items have none.

    Args:
        items: all there are.
        faults: those of an item; none where it is good.
        noun: what an item is called.
        place: where they are.

    Returns:
        The exit status: 1 where an item is bad, else 0.
    """
    from tqdm import tqdm

    kinds, bad = Counter[str](), 0
    for item in tqdm(items, "checking", unit=noun):
        found = list(faults(item))
        bad += bool(found)
        kinds.update(fault.kind for fault in found)
        for fault in found:
            tqdm.write(f"{fault.kind}: {fault}", file=sys.stdout)
    print(f"{len(items) - bad} of {len(items)} {noun}s in {place} are good")
    for kind, count in kinds.most_common():
        print(f"{count} {kind}")
    return 1 if bad else 0

"""One entry of a data order."""

from typing import NamedTuple


class Item(NamedTuple):
    """What a data set is asked for.

    Attributes:
        index: which sample, from 0 to ``len(dataset) - 1``.
        position: how many samples the whole run has drawn before this one. Two visits of one sample have
            different positions, so a random choice keyed by the position (a flip, a caption's wording)
            differs between epochs and is the same after a resume.
    """

    index: int
    position: int

"""From a label for each frame to timed actions.

VVT-Interact's actions are frames that a vision-language model labelled, smoothed by morphology (iTryOn, arXiv
2605.21431).
"""

from collections.abc import Sequence
from itertools import groupby, pairwise

from vision.tryon.actions import Action
from vision.tryon.segments import RATE, latent_of_frame


def actions_of_labels(
    labels: Sequence[str | None], longest_gap: int = 4, shortest: int = 8, snap: bool = True
) -> list[Action]:
    """Smooths what a labeller says of each frame, and gives the actions.

    Gaps between frames of one label are closed, then short runs are dropped, then the ends are moved outward
    to whole latent frames (frame 0 alone, then four each). A latent frame that two actions would share goes
    to the one with more of its frames, of equals to the first.

    Args:
        labels: of each frame; None or "" where nothing is done.
        longest_gap: frames without a label that are closed, at most.
        shortest: frames of an action, at least, before its ends are moved.
        snap: whether they are moved.

    Returns:
        ``(first frame, last frame, label)``, both frames included, in the order of time, apart from each
        other.
    """
    runs = [run for run in _closed(_runs(labels), longest_gap) if run[1] - run[0] + 1 >= shortest]
    if not snap:
        return runs
    ends = [[latent_of_frame(first), latent_of_frame(last)] for first, last, _ in runs]
    for number, (before, after) in enumerate(pairwise(runs)):
        if ends[number][1] == ends[number + 1][0]:  # of the frames 4j - 3 to 4j
            end = RATE * ends[number][1]
            if before[1] - max(end - RATE, before[0] - 1) >= min(after[1], end) - after[0] + 1:
                ends[number + 1][0] += 1
            else:
                ends[number][1] -= 1
    return [
        (max(0, RATE * (first - 1) + 1), min(RATE * last, len(labels) - 1), label)
        for (first, last), (_, _, label) in zip(ends, runs, strict=True)
        if first <= last
    ]


def _runs(labels: Sequence[str | None]) -> list[Action]:
    found, frame = [], 0
    for label, same in groupby(label or "" for label in labels):
        count = len(list(same))
        if label:
            found.append((frame, frame + count - 1, label))
        frame += count
    return found


def _closed(runs: Sequence[Action], longest_gap: int) -> list[Action]:
    """Neighbours of one label become one run where at most so many frames are between them."""
    closed: list[Action] = []
    for first, last, label in runs:
        if closed and closed[-1][2] == label and first - closed[-1][1] - 1 <= longest_gap:
            closed[-1] = (closed[-1][0], last, label)
        else:
            closed.append((first, last, label))
    return closed

"""From actions on frames to segments of latent frames (iTryOn, arXiv 2605.21431).

Legend: T frames of video, F = 1 + (T - 1) / 4 latent frames.
"""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from vision.tryon.actions import Action, ordered_actions

#: First latent frame, the one after the last, caption; "" where nothing is done.
Segment = tuple[int, int, str]
#: Frames of video of one latent frame, after the first.
RATE = 4


def latent_frames(num_frames: int, name: str = "a clip") -> int:
    """F of a clip of T frames.

    Args:
        num_frames: T.
        name: of what has them, for the error.

    Raises:
        ValueError: T is not 4n + 1.
    """
    if num_frames < 1 or (num_frames - 1) % RATE:
        kept = max(1, (num_frames - 1) // RATE * RATE + 1)
        raise ValueError(
            f"{name} of {num_frames} frames has no whole latent frames; expected {RATE}n + 1, as {kept}"
        )
    return 1 + (num_frames - 1) // RATE


def latent_of_frame(frame: int) -> int:
    """The latent frame that holds a frame of video: 0 holds frame 0 alone, j the frames 4j - 3 to 4j."""
    return -(-frame // RATE)


def action_segments(actions: Iterable[Sequence[Any]], num_frames: int) -> list[Segment]:
    """Cuts a clip into actions and the gaps between them, in latent frames.

    A latent frame that several share goes to the one with most of its frames; of equals to an action, of
    actions to the first. Neighbouring actions have no gap between them; without actions the clip is one gap.

    Args:
        actions: ``(first_frame, last_frame, caption)``, both frames included, in any order.
        num_frames: T, which is 4n + 1.

    Returns:
        ``(start, stop, caption)`` in the order of time, half-open, from 0 to F without holes; a gap has the
        caption "". An action that gets no latent frame is left out with a warning; where actions overlap,
        they are split with a warning, and the common part gets both captions, joined by " and ".

    Raises:
        ValueError: T is not 4n + 1; reversed frames, frames past the end, an empty caption.
    """
    segments, lost = cut_into_segments(actions, num_frames)
    for first, last, caption in lost:
        warnings.warn(
            f"the action {caption!r} [{first}, {last}] has the most frames of no latent frame and is left "
            f"out; give it at least {RATE} frames",
            stacklevel=2,
        )
    return segments


def cut_into_segments(
    actions: Iterable[Sequence[Any]], num_frames: int
) -> tuple[list[Segment], list[Action]]:
    """:func:`action_segments`, and the actions that get no latent frame instead of a warning."""
    count = latent_frames(num_frames)
    checked = ordered_actions(actions, num_frames)
    # In frames: actions, and gaps between them where there is room.
    pieces: list[tuple[int, int, str]] = []
    end = 0
    for first, last, caption in checked:
        if first > end:
            pieces.append((end, first, ""))
        pieces.append((first, last + 1, caption))
        end = last + 1
    if end < num_frames:
        pieces.append((end, num_frames, ""))

    owners = []
    for latent in range(count):
        first, last = (0, 0) if latent == 0 else (RATE * latent - RATE + 1, RATE * latent)
        shares = [min(stop, last + 1) - max(start, first) for start, stop, _ in pieces]
        owners.append(max(range(len(pieces)), key=lambda n: (shares[n], pieces[n][2] != "", -n)))
    segments: list[Segment] = []
    previous = None
    for latent, owner in enumerate(owners):
        caption = pieces[owner][2]
        if previous is not None and (owner == previous or (not caption and not segments[-1][2])):
            segments[-1] = (segments[-1][0], latent + 1, caption)
        else:
            segments.append((latent, latent + 1, caption))
        previous = owner
    lost = [
        (start, stop - 1, caption)
        for number, (start, stop, caption) in enumerate(pieces)
        if caption and number not in owners
    ]
    return segments, lost


def without_captions(segments: Sequence[Segment]) -> list[Segment]:
    """The same segments with nothing said about any: the unconditional branch of guidance."""
    return [(start, stop, "") for start, stop, _ in segments]


def action_frames(segments: Sequence[Segment]) -> Tensor:
    """Boolean (F,), true on the latent frames of actions."""
    check_segments(segments)
    return torch.tensor([caption != "" for start, stop, caption in segments for _ in range(start, stop)])


def check_segments(segments: Sequence[Segment]) -> int:
    """F of segments.

    Raises:
        ValueError: they do not follow each other from 0 on, or there are none.
    """
    end = 0
    for start, stop, caption in segments:
        if start != end or stop <= start:
            raise ValueError(
                f"the segment {caption!r} [{start}, {stop}) does not follow the one before, which ends at "
                f"{end}; make them with action_segments"
            )
        end = stop
    if not segments:
        raise ValueError("there are no segments; a clip without actions is one segment with the caption ''")
    return end

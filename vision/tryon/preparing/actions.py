"""The timed actions of a user's video, made to fit it.

Legend: F frames; actions are (first frame, last frame, label), inclusive, counted from 0.
"""

import warnings
from collections.abc import Sequence

from vision.tryon.actions import Action, check_times, retime, split_with_warning


def fitted_actions(actions: Sequence[Action], frames: int, kept: int, name: str) -> list[Action]:
    """Actions in order, apart from each other, and within the frames that are kept.

    What lies in frames that were cut off is cut off with a warning. Where actions overlap, they are split at
    every boundary, and the common part gets both labels, joined with " and ", with a warning.

    Args:
        actions: in any order.
        frames: of the video as it was.
        kept: F, how many of them are kept, from the first.
        name: of the video or file, for messages.

    Raises:
        ValueError: an action that is reversed, without a label, or outside of the video.
    """
    check_times(actions, frames, name)
    within = retime(actions, 0, kept)
    if within != list(actions):
        warnings.warn(
            f"{name}: frames from {kept} on are cut off, and with them what actions do there; "
            f"{len(within)} of {len(actions)} actions are left",
            stacklevel=2,
        )
    return split_with_warning(within, name)


def caption_of(actions: Sequence[Action]) -> str:
    """A global caption for a user who gave none."""
    labels = list(dict.fromkeys(label[:1].lower() + label[1:] for _, _, label in actions))
    return f"The person is {', '.join(labels)}" if labels else "A person moves"

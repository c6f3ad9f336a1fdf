"""Actions of a clip: which frames they take, and what they are called.

Legend: T frames of video, counted from 0.
"""

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from operator import index
from pathlib import Path
from typing import Any

from vision.media.bad_item import BadItemError

#: First frame, last frame (it belongs to the action), caption.
Action = tuple[int, int, str]
_START, _END, _CAPTION = ("start", "first"), ("end", "last"), ("label", "caption", "text")


def read_actions(source: str | Path | Iterable[Any]) -> list[Action]:
    """Actions from a list, from JSON, or from a JSON file.

    Each is ``[first, last, caption]`` or an object with ``start``, ``end`` and ``label`` (or ``caption``).
    JSON may be the list itself or an object that has it under ``actions``.

    Args:
        source: the list, a file's path, or JSON text that begins with a bracket.

    Raises:
        ValueError: no such file, no JSON, or an entry that is no action.
    """
    given: Any = source
    if isinstance(given, str | Path):
        if not str(given).lstrip().startswith(("[", "{")):
            return read_actions_file(Path(given))[1]
        given = _json(str(given), "the actions")
    if isinstance(given, Mapping):
        given = given.get("actions")
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise ValueError(
            f"found {type(given).__name__} as actions, expected a list of actions, or an object with such a "
            "list as 'actions'"
        )
    return [_action(entry, number) for number, entry in enumerate(given)]


def read_actions_file(path: Path) -> tuple[str | None, list[Action]]:
    """The caption of the whole video, where there is one, and the actions of a JSON file.

    It holds a list of actions, or ``{"caption": ..., "actions": that list}``.

    Raises:
        ValueError: the file is missing or holds something else; where, is told.
    """
    try:
        content = _json(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no file of actions can be read there ({error})") from error
    caption = content.get("caption") if isinstance(content, dict) else None
    if caption is not None and not isinstance(caption, str):
        raise ValueError(f"{path}: found {caption!r} as caption, expected a text")
    try:
        return caption, read_actions(content if isinstance(content, dict | list) else {})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def action_faults(
    actions: Sequence[Action], num_frames: int | None, name: str = "the clip"
) -> Iterator[BadItemError]:
    """What is wrong with the times and captions of actions.

    Kinds: timestamps (reversed, outside of the video, without a caption), overlap.

    Args:
        actions: in any order.
        num_frames: T; None where it is not known.
        name: of the video, for the message.
    """
    for first, last, caption in actions:
        shown = _shown((first, last, caption))
        if last < first:
            yield BadItemError("timestamps", f"{name}: {shown} ends before it begins; exchange its frames")
        elif first < 0 or (num_frames is not None and last >= num_frames):
            end = "..." if num_frames is None else num_frames - 1
            yield BadItemError(
                "timestamps",
                f"{name}: {shown} lies outside the clip, whose frames are 0 to {end}; the last frame of an "
                "action belongs to it",
            )
        if not caption.strip():
            yield BadItemError(
                "timestamps",
                f"{name}: the action of frames {first} to {last} has no label; name what is done, or leave "
                "it out: frames without an action need no entry",
            )
    latest = None
    for action in sorted(action for action in actions if action[0] <= action[1]):
        if latest is not None and action[0] <= latest[1]:
            yield BadItemError(
                "overlap",
                f"{name}: the actions {_shown(latest)} and {_shown(action)} overlap; shorten one, or their "
                "common frames get both captions",
            )
        if latest is None or action[1] > latest[1]:
            latest = action


def check_times(actions: Sequence[Action], num_frames: int | None, name: str = "the clip") -> None:
    """Raises the first of :func:`action_faults` that is of the kind timestamps."""
    for fault in action_faults(actions, num_frames, name):
        if fault.kind == "timestamps":
            raise fault


def overlapping(actions: Sequence[Action]) -> bool:
    """Whether some frame is in several actions, whose times are right."""
    return any(fault.kind == "overlap" for fault in action_faults(actions, None))


def ordered_actions(
    actions: str | Path | Iterable[Any], num_frames: int, name: str = "the clip"
) -> list[Action]:
    """The actions in the order of time, apart from each other; :func:`split_overlaps` with a warning.

    Args:
        actions: as of :func:`read_actions`, in any order.
        num_frames: T.
        name: of the video or file, for messages.

    Raises:
        ValueError: as :func:`check_times`, or an entry that is no action.
    """
    given = read_actions(actions)
    check_times(given, num_frames, name)
    return split_with_warning(given, name)


def split_with_warning(actions: Sequence[Action], name: str) -> list[Action]:
    """:func:`split_overlaps`, with a warning of what comes out where something overlaps."""
    if not overlapping(actions):
        return sorted(actions)
    split = split_overlaps(actions)
    told = ", ".join(f"{first}-{last} {caption!r}" for first, last, caption in split)
    warnings.warn(f"{name}: actions overlap and are split: {told}", stacklevel=3)
    return split


def split_overlaps(actions: Iterable[Sequence[Any]]) -> list[Action]:
    """Cuts actions wherever one begins or ends; frames of several have their captions joined by "and".

    Args:
        actions: ``(first_frame, last_frame, caption)``.
    """
    given = sorted((int(first), int(last), str(caption)) for first, last, caption in actions)
    cuts = sorted({frame for first, last, _ in given for frame in (first, last + 1)})
    pieces: list[Action] = []
    for start, stop in pairwise(cuts):
        captions = [caption for first, last, caption in given if first <= start and stop <= last + 1]
        if captions:
            pieces.append((start, stop - 1, " and ".join(dict.fromkeys(captions))))
    return pieces


def retime(actions: Iterable[Sequence[Any]], start: int, stop: int) -> list[Action]:
    """The actions as frames ``start`` up to, without, ``stop`` see them, counted from ``start``.

    Args:
        actions: ``(first_frame, last_frame, caption)``.
        start: first frame of the part.
        stop: frame after its last.
    """
    return [
        (max(first, start) - start, min(last, stop - 1) - start, caption)
        for first, last, caption in actions
        if first < stop and last >= start
    ]


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name}: not valid JSON ({error})") from error


def _action(entry: Any, number: int) -> Action:
    if isinstance(entry, Mapping):
        found: list[Any] = [
            next((entry[key] for key in keys if key in entry), None) for keys in (_START, _END, _CAPTION)
        ]
    else:
        found = list(entry) if isinstance(entry, Sequence) and not isinstance(entry, str) else []
    try:
        first, last, caption = found
        if isinstance(first, bool) or isinstance(last, bool) or not isinstance(caption, str):
            raise TypeError
        return index(first), index(last), caption.strip()
    except (TypeError, ValueError):
        raise ValueError(
            f"action {number} is {entry!r}; expected [first frame, last frame, caption], or an object with "
            "start, end and label; frames are whole numbers, counted from 0"
        ) from None


def _shown(action: Action) -> str:
    return f"{action[2]!r} [{action[0]}, {action[1]}]"

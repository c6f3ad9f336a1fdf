"""The index of try-on samples: ``meta.jsonl``, a line a sample.

Legend: F frames. Frames of actions are counted from 0 and inclusive at both ends.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vision.media.bad_item import BadItemError
from vision.tryon.actions import Action, read_actions

INDEX_NAME = "meta.jsonl"
_FILES = (
    "video",
    "garment",
    "mask",
    "pose",
    "hand",
    "agnostic",
    "truth",
    "unpaired_garment",
    "unpaired_video",
)


@dataclass(frozen=True)
class SampleRecord:
    """One sample as the index names it. Files are relative to the folder of the index, or absolute.

    Attributes:
        id: its name.
        video: the person; also what training reproduces.
        garment: a picture of the garment on white.
        mask: white where pixels are to be generated, black where they stay.
        pose: skeletons on black, or what else tells the pose; None for none.
        hand: shaded hands on black; None where no hand is known.
        caption: of the whole video.
        actions: (first frame, last frame, caption), inclusive.
        fps: frames a second.
        split: "train", "test", ...
        agnostic: the video with grey where the mask is white; None for what video and mask give.
        truth: exact truth of a drawn clip (vision.tryon.drawing.writer).
        unpaired_garment: another garment.
        unpaired_video: the same person and motion in it.
    """

    id: str
    video: str
    garment: str
    mask: str
    pose: str | None = None
    hand: str | None = None
    caption: str = ""
    actions: tuple[Action, ...] = ()
    fps: float = 16
    split: str = "train"
    agnostic: str | None = None
    truth: str | None = None
    unpaired_garment: str | None = None
    unpaired_video: str | None = None


def record_line(record: SampleRecord, folder: str = "") -> str:
    """A line of the index, without its end; files are told with the folder that they are in."""
    line: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if field.name == "actions":
            value = [{"start": start, "end": end, "label": label} for start, end, label in value]
        elif field.name in _FILES and value is not None and folder:
            value = f"{folder}/{value}"
        if value is not None:
            line[field.name] = value
    return json.dumps(line, ensure_ascii=False)


def read_index(path: Path) -> Iterator[SampleRecord | BadItemError]:
    """The samples of an index in order; a line that is none gives what is wrong with it.

    Raises:
        ValueError: there is no such file, or it has no line.
    """
    try:
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; an index has a line of JSON a sample") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 ({error})") from error
    if not lines:
        raise ValueError(f"{path} is empty; an index has a line of JSON a sample")
    for number, line in enumerate(lines, 1):
        try:
            yield _record(json.loads(line))
        except (ValueError, TypeError) as error:
            yield BadItemError("index", f"{path}, line {number}: {error}")


def _record(content: Any) -> SampleRecord:
    if not isinstance(content, dict):
        raise ValueError(f"found {type(content).__name__}, expected an object")
    missing = [name for name in ("id", "video", "garment", "mask") if not content.get(name)]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing; found {', '.join(map(str, content))}")
    known = {field.name for field in fields(SampleRecord)}
    values = {name: value for name, value in content.items() if name in known and value is not None}
    for name in (*_FILES, "caption", "split"):
        if name in values and not isinstance(values[name], str):
            raise ValueError(f"found {values[name]!r} as {name}, expected a text")
    rate = values.get("fps", 16)
    if not isinstance(rate, (int, float)) or not rate > 0:
        raise ValueError(f"found fps {rate!r}, expected frames a second above 0")
    actions = content.get("actions") or []
    if not isinstance(actions, list):
        raise ValueError(f"found {actions!r} as actions, expected a list of them")
    values["actions"] = tuple(read_actions(actions))
    return SampleRecord(**{**values, "id": str(content["id"])})

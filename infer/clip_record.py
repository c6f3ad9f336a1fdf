"""The record beside a clip: what made it, so that a job goes on where it stopped."""

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch

from infer.model_hash import file_hash
from vision import __version__
from vision.whole_file import written_aside

#: Fields of a record that another machine or place may change without another clip coming out.
_FREE_FIELDS = frozenset(("model", "software", "sha256", "frame_file", "actions_file"))


def write_record(video: Path, fact: Mapping[str, Any], device: torch.device, **named: str) -> None:
    """Writes the record of a clip that is whole.

    Args:
        video: the clip.
        fact: all that it depends on.
        device: where it was made.
        named: further fields: where model and inputs were.
    """
    software = {
        "atelier": __version__,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "python": platform.python_version(),
        "device": device.type,
    }
    record = {**fact, **named, "sha256": file_hash(video), "software": software}
    with written_aside(record_of(video)) as aside:
        aside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def record_of(video: Path) -> Path:
    """The file of a clip's record."""
    return video.with_suffix(".json")


def is_made(video: Path, fact: Mapping[str, Any], overwrite: bool) -> bool:
    """Whether a clip is there, whole, and was made of ``fact``.

    Raises:
        ValueError: it was made of something else, or nobody knows of what, and ``overwrite`` is not given.
    """
    path = record_of(video)
    if not path.is_file():
        if video.is_file() and not overwrite:
            raise ValueError(
                f"{video} has no record ({path.name}) beside it, so nobody knows what made it; "
                "move it away, or give --overwrite"
            )
        return False
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        kept = {name: value for name, value in record.items() if name not in _FREE_FIELDS}
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not a clip's record ({error}); remove it and its clip") from error
    differences = [
        f"{name} {kept.get(name)!r} (now {fact.get(name)!r})"
        for name in sorted(kept.keys() | fact.keys())
        if kept.get(name) != fact.get(name)
    ]
    if differences and not overwrite:
        raise ValueError(
            f"{video} was made with {', '.join(differences)}; choose another --out, give the "
            "settings that made it, or --overwrite"
        )
    return not differences and video.is_file() and file_hash(video) == record["sha256"]

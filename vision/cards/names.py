"""What cards call models and folders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def without_folders(value: Any) -> Any:
    """The same tree of values with each absolute path replaced by its last part that says something."""
    if isinstance(value, Mapping):
        return {key: without_folders(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(entry) for entry in value]
    if not isinstance(value, str) or not Path(value).is_absolute():
        return value
    return Path(value).relative_to(_telling(Path(value)).parent).as_posix()


def model_name(path: str | Path) -> str:
    """What a model is called, by the folder that it was loaded from: "student" of ``runs/student/final``."""
    return _telling(Path(path)).name


def _telling(path: Path) -> Path:
    return _telling(path.parent) if path.name in ("final", "transformer") else path

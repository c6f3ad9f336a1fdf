"""Measures in files: what is there is not measured again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vision.whole_file import written_aside


def kept(path: Path, made: Callable[[], dict[str, Any]]) -> Any:
    """What a file of JSON holds; where there is none it is made, without gradients, and written first."""
    if not path.is_file():
        with torch.no_grad(), written_aside(path) as aside:
            aside.write_text(json.dumps(made(), indent=1) + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))

"""Results and weights that are computed once and kept in files, so that a stopped benchmark goes on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from vision.whole_file import written_aside


def once(path: Path, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``compute`` gives, or gave when ``path`` was written."""
    if not path.is_file():
        result = json.dumps(compute(), indent=1)
        with written_aside(path) as aside:
            aside.write_text(result + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def keep_weights(network: nn.Module, path: Path, **others: Tensor) -> None:
    """Writes a network's weights, and further tensors, as safetensors."""
    # Convolutions that run faster with their channels last are stored as everyone reads them.
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    with written_aside(path) as aside:
        save_file({**state, **others}, aside)

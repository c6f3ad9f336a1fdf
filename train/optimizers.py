"""AdamW, in float32 or 8 bits, or Muon beside it, and their state as named tensors."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from train.recipes.train import TrainRecipe


def make_optimizer(parameters: Mapping[str, nn.Parameter], recipe: TrainRecipe, name: str) -> Optimizer:
    """The optimizer of one network's trained parameters.

    Raises:
        ValueError: 8 bits are asked for where bitsandbytes is absent, or these or Muon for a sharded network.
    """
    settings = {
        "lr": recipe.lr_of.get(name, recipe.lr),
        "betas": recipe.betas,
        "eps": recipe.eps,
        "weight_decay": recipe.weight_decay,
    }
    if recipe.optimizer == "muon":
        if recipe.sharding != "none" or recipe.eight_bit:
            raise ValueError(
                "train.optimizer: muon needs whole matrices of 32 bits; set train.sharding: none and "
                "train.eight_bit: false, or train.optimizer: adamw"
            )
        return MuonBesideAdamW(parameters, **settings)
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


class MuonBesideAdamW(Optimizer):
    """Muon for the matrices of the blocks, AdamW for all else: embeddings, head, biases, gains.

    Muon (K. Jordan 2024) steps by the momentum's nearest orthogonal matrix. Its step is scaled to the root
    mean square of AdamW's, so both take one learning rate (J. Liu et al., arXiv 2502.16982).

    Args:
        parameters: by name. A matrix is of the blocks where "blocks" is a part of its name.
        lr, betas, eps, weight_decay: AdamW's; Muon shares the rate and the decay.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], **settings: Any) -> None:
        matrices = [p for name, p in parameters.items() if p.ndim == 2 and "blocks" in name.split(".")]
        chosen = set(matrices)
        rest = [p for p in parameters.values() if p not in chosen]
        shared = {what: settings[what] for what in ("lr", "weight_decay")}
        self._parts: list[Optimizer] = []
        if matrices:
            self._parts.append(torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **shared))
        if rest:
            self._parts.append(torch.optim.AdamW(rest, fused=True, **settings))
        super().__init__([group for part in self._parts for group in part.param_groups], {})
        # One list of groups and one state, whichever of the two is asked.
        self.param_groups = [group for part in self._parts for group in part.param_groups]
        for part in self._parts:
            part.state = self.state

    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step of both."""
        if closure is not None:
            raise ValueError("a step takes no closure; compute the gradients first")
        for part in self._parts:
            part.step()


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
            parameter = parameters[name]
            if (
                isinstance(value, Tensor)
                and value.shape == parameter.shape
                and value.stride() != parameter.stride()
            ):
                # Laid out in memory as the parameter is: fused steps walk through both side by side.
                value = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
            optimizer.state[parameter][what] = value


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

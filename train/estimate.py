"""How much memory a run will take, before anything is allocated.

A pure function of a network's size, what passes through it at once, and the recipe. For each network and
process, with P trained and Q frozen parameters divided over the processes under FSDP2:

    weights      4 P, and 2 Q (bf16) or 4 Q
    gradients    4 P
    moments      8 P, or 2 P in 8 bits
    average      4 P
    activations  what a backward pass needs, below
    copies       bf16 weights that autocast or FSDP2 makes for computing

A block of the transformer keeps, for B samples of L tokens, M prompt tokens, width D, inner width F, H heads

    B (a L D + f L F + m M D) bytes  [+ 2 B H L (L + M) for the bf16 attention of a CPU],

and its module for actions, where it has one, of inner width W

    B L (d D + w W) bytes,

with the numbers of ``_SAVED`` and ``_SAVED_ACTIONS``, which were read off saved tensors (tests hold them).
Where a block joins the prompt to the picture, as those of SD3 and LongCat-Image do, L counts both and M is 0.
Gradient checkpointing keeps a block's input only, and one whole block while it is computed again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from train.recipes.load import dump_recipe
from train.recipes.run import RunRecipe
from train.recipes.train import TrainRecipe
from vision.lora.shared_base import base_of
from vision.transformer.action import ACTION
from vision.transformer.blocks import repeated_blocks

# Bytes (a, f, m) by precision and by whether the weights themselves are trained (else an adapter).
_SAVED = {
    ("no", True): (88, 8, 16),
    ("bf16", True): (56, 4, 12),
    ("no", False): (64, 8, 16),
    ("bf16", False): (44, 4, 16),
}
# Bytes (a, f) of a block that joins the prompt's tokens to the picture's: no second attention.
_SAVED_JOINT = {
    ("no", True): (56, 8),
    ("bf16", True): (34, 4),
    ("no", False): (39, 8),
    ("bf16", False): (28, 4),
}
# Bytes (d, w) of a block's module for actions.
_SAVED_ACTIONS = {
    ("no", True): (10, 53),
    ("bf16", True): (5, 29),
    ("no", False): (5, 49),
    ("bf16", False): (3, 26),
}
# Bytes of each channel of a token outside the blocks, and at the entry of a checkpointed one.
_OUTSIDE = {("no", True): 16, ("bf16", True): 10, ("no", False): 4, ("bf16", False): 4}
_ENTRY = {"no": 4, "bf16": 2}


@dataclass(frozen=True)
class NetworkSize:
    """What the estimate needs to know of a network.

    Attributes:
        trained, frozen: parameters.
        largest_block: parameters of the largest repeated block, 0 for a network without any.
        layers, width, inner_width, heads: of the transformer, 0 for another kind of network.
        shared: frozen parameters that it computes with and another network of the run holds.
        joint: whether a prompt's tokens pass through the blocks beside the picture's.
        action_blocks, action_width: how many blocks have a module for actions, and its inner width.
    """

    trained: int
    frozen: int
    largest_block: int = 0
    layers: int = 0
    width: int = 0
    inner_width: int = 0
    heads: int = 0
    shared: int = 0
    joint: bool = False
    action_blocks: int = 0
    action_width: int = 0

    @classmethod
    def of(cls, network: nn.Module) -> "NetworkSize":
        """Counts a network, which may stand on the meta device; trained is what requires a gradient."""
        trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
        frozen = sum(p.numel() for p in network.parameters() if not p.requires_grad)
        base = base_of(network)
        shared = sum(p.numel() for p in base.parameters() if not p.requires_grad) - frozen
        config: Any = getattr(base, "config", None)
        blocks = repeated_blocks(base)
        if not blocks or not hasattr(config, "num_attention_heads"):
            return cls(trained, frozen, shared=shared)
        width = config.num_attention_heads * config.attention_head_dim
        actions = (config.get("conditioning") or {}).get(ACTION)
        acting = [] if actions is None else actions.get("blocks", blocks)
        return cls(
            trained,
            frozen,
            largest_block=max(sum(p.numel() for p in block.parameters()) for block in blocks),
            layers=len(blocks),
            width=width,
            inner_width=config.get("ffn_dim", 4 * width),
            heads=config.num_attention_heads,
            shared=shared,
            joint=hasattr(config, "joint_attention_dim"),
            action_blocks=len(acting),
            action_width=0 if actions is None else actions.get("width") or width,
        )


@dataclass(frozen=True)
class Load:
    """What passes through a network in one call.

    Attributes:
        samples: samples in the call (a micro-batch, or twice that where a method joins two).
        tokens, prompt_tokens: of a sample.
    """

    samples: int
    tokens: int
    prompt_tokens: int

    @classmethod
    def of_latents(
        cls, samples: int, latent_shape: Sequence[int], patch_size: Sequence[int], prompt_tokens: int
    ) -> "Load":
        """For latents of shape (C, F, H, W) and patches of (frames, rows, columns)."""
        tokens = math.prod(size // patch for size, patch in zip(latent_shape[1:], patch_size, strict=True))
        return cls(samples, tokens, prompt_tokens)


@dataclass(frozen=True)
class Estimate:
    """Memory of one network on one process, in bytes; the module's docstring says what each is.

    Attributes:
        trained, frozen: parameters of the whole network.
        activations: None for a network whose kind is not known.
    """

    trained: int
    frozen: int
    weights: int
    gradients: int
    moments: int
    average: int
    activations: int | None
    copies: int

    @property
    def lasting(self) -> int:
        """Bytes that are held during the whole run."""
        return self.weights + self.moments + self.average

    @property
    def passing(self) -> int:
        """Bytes that are held while this network is called or updated."""
        return self.gradients + (self.activations or 0) + self.copies


def estimate(
    size: NetworkSize,
    load: Load | None,
    recipe: TrainRecipe,
    *,
    averaged: bool = False,
    processes: int = 1,
    device: str = "cuda",
) -> Estimate:
    """Estimates one network.

    Args:
        size: the network.
        load: its largest call; None where the kind of network is not known.
        averaged: whether a moving average of it is kept.
        processes: processes of the run; they share a network under FSDP2.
        device: "cpu" or "cuda".
    """
    share = processes if recipe.sharding == "fsdp2" else 1
    trained = math.ceil(size.trained / share)
    bf16 = recipe.mixed_precision == "bf16"
    return Estimate(
        trained=size.trained,
        frozen=size.frozen,
        weights=4 * trained + (2 if bf16 else 4) * math.ceil(size.frozen / share),
        gradients=4 * trained,
        moments=(2 if recipe.eight_bit else 8) * trained,
        average=4 * trained if averaged and recipe.ema_decay is not None else 0,
        activations=activation_bytes(size, load, recipe, device) if load and size.layers else None,
        copies=_copied_bytes(size, recipe, share),
    )


def activation_bytes(size: NetworkSize, load: Load, recipe: TrainRecipe, device: str = "cuda") -> int:
    """Bytes that a call keeps for its backward pass; for a frozen network, at most what it holds at once."""
    precision = recipe.mixed_precision
    kind = (precision, size.frozen + size.shared == 0)
    if size.joint:
        tokens, (hidden, inner), prompt = load.tokens + load.prompt_tokens, _SAVED_JOINT[kind], 0
    else:
        tokens, (hidden, inner, prompt) = load.tokens, _SAVED[kind]
    token_channels = load.samples * tokens * size.width
    block = (
        hidden * token_channels
        + inner * load.samples * tokens * size.inner_width
        + prompt * load.samples * load.prompt_tokens * size.width
    )
    if device == "cpu" and precision == "bf16":
        block += 2 * load.samples * size.heads * load.tokens * (load.tokens + load.prompt_tokens)
    hidden, inner = _SAVED_ACTIONS[kind]
    acting = load.samples * load.tokens * (hidden * size.width + inner * size.action_width)
    largest = block + acting if size.action_blocks else block
    if size.trained == 0:
        return largest
    outside = _OUTSIDE[kind] * token_channels
    if recipe.gradient_checkpointing:
        return outside + size.layers * _ENTRY[precision] * token_channels + largest
    return outside + size.layers * block + size.action_blocks * acting


def _copied_bytes(size: NetworkSize, recipe: TrainRecipe, share: int) -> int:
    bf16 = recipe.mixed_precision == "bf16"
    if share > 1:  # the block that computes and the one that is fetched meanwhile
        return 2 * size.largest_block * (2 if bf16 else 4)
    if not bf16 or size.trained == 0:
        return 0
    if recipe.gradient_checkpointing and size.largest_block:
        return 2 * min(size.largest_block, size.trained)
    return 2 * size.trained


def total_bytes(networks: Mapping[str, Estimate]) -> int:
    """Bytes of a run on one process at its largest.

    Networks are called one after the other, so that of what passes only the largest counts.
    """
    lasting = sum(network.lasting for network in networks.values())
    return lasting + max(network.passing for network in networks.values())


def format_dry_run(recipe: RunRecipe, networks: Mapping[str, Estimate], processes: int = 1) -> str:
    """What ``--dry-run`` prints: the resolved recipe, parameters and memory by network, the sum."""
    columns = ("weights", "gradients", "moments", "average", "activations", "copies")
    rows: list[tuple[str, ...]] = [("network", "trained", "frozen", *columns)]
    for name, network in networks.items():
        values = (getattr(network, column) for column in columns)
        rows.append((name, _count(network.trained), _count(network.frozen), *map(_size, values)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    each = f"on each of {processes} processes" if processes > 1 else "on one process"
    train = recipe.train
    batch = train.batch_size * train.accumulation * processes
    unknown = [name for name, network in networks.items() if network.activations is None]
    return "\n".join(
        [
            dump_recipe(recipe),
            *table,
            "",
            f"about {_size(total_bytes(networks))} {each}: all weights, "
            "moments and averages, and the largest network's gradients, activations and copies"
            + (f" (activations of {', '.join(unknown)} not known)" if unknown else ""),
            "not counted: autoencoder, text encoder, the framework itself and its fragmentation",
            f"{train.steps:,} iterations of {batch:,} samples "
            f"({train.batch_size} x {train.accumulation} accumulated x {processes} processes)",
        ]
    )


def _count(parameters: int) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if parameters >= size:
            return f"{parameters / size:.2f}{unit}"
    return str(parameters)


def _size(number: int | None) -> str:
    if number is None:
        return "?"
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number / 2**10:.1f} KiB" if number else "0"

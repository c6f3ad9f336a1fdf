"""Which layers of a network may carry a LoRA, and which of them go together.

Legend: I input channels, O output channels, k sides of a kernel, r rank.
"""

import math
import re
from collections.abc import Mapping, Sequence

from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from vision.lora.candidate import Candidate, ConvForm

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
#: A preset, a regular expression, several, or several with a name each; see :func:`discover`.
Spec = str | Sequence[str] | Mapping[str, str]

_BLOCK = r"(?:.+\.)?\w*blocks\.\d+"
_FEED_FORWARD = r"(?:ffn|ff|ff_context)"
#: Specs for diffusion transformers with diffusers' names. ``dit-block``: a candidate is the attention,
#: feed-forward and modulation of a block; ``dit-family``: a family of layers in a block, or an end of the
#: network.
PRESETS: Mapping[str, str | Mapping[str, str]] = {
    "dit-block": rf"({_BLOCK})\.(?:attn\w*\.(?:to_[qkv]|add_[qkv]_proj|to_out\.0|to_add_out)"
    rf"|{_FEED_FORWARD}\.net\.(?:0\.proj|2)|proj_mlp|proj_out|norm\w*\.linear)",
    "dit-family": {
        "qkv": rf"({_BLOCK}\.attn\w*)\.(?:to_[qkv]|add_[qkv]_proj)",
        "proj": rf"({_BLOCK}\.attn\w*)\.(?:to_out\.0|to_add_out)",
        "fc1": rf"({_BLOCK})\.(?:{_FEED_FORWARD}\.net\.0\.proj|proj_mlp)",
        "fc2": rf"({_BLOCK})\.(?:{_FEED_FORWARD}\.net\.2|proj_out)",
        "modulation": rf"({_BLOCK})\.norm\w*\.linear",
        "patch_embed": r"patch_embedding|pos_embed\.proj|x_embedder",
        "final_layer": r"proj_out|norm_out\.linear",
    },
}
#: The preset for convolutional networks: a candidate is two or more convolutions that one module holds
#: itself, of which one sees neighbours.
CONV_BLOCK = "conv-block"


def discover(
    model: nn.Module, spec: Spec, rank: int | Mapping[str, int] = 8, conv_form: ConvForm = "peft"
) -> list[Candidate]:
    """Finds the candidates of a network, in the order of its layers, and what each costs.

    Linear layers and convolutions (not transposed) count, also those that carry adapters already. An
    expression must match the whole name of a layer. Layers for which the groups of the expression capture
    the same text are one candidate, called by that text; without groups each layer is one. With a mapping,
    the name of the expression is added to the text; without groups all layers that match are one
    candidate. A layer goes to the first expression that matches it.

    Args:
        model: any network; it stays as it is.
        spec: ``dit-block``, ``dit-family``, ``conv-block``, or expressions.
        rank: of all candidates, or by expression for the whole name of a candidate.
        conv_form: form of the update of convolutions, see :class:`~vision.lora.candidate.Candidate`.

    Raises:
        ValueError: an expression that is none, nothing matches, a rank is missing or matches nothing, or a
            layer cannot take such an update.
    """
    layers = find_layers(model)
    for expression in [e for _, e in _expressions(spec)] + ([] if isinstance(rank, int) else list(rank)):
        _check_expression(expression)
    groups = _conv_blocks(model, layers) if spec == CONV_BLOCK else _matched(layers, _expressions(spec))
    if not groups:
        raise ValueError(
            f"spec {spec!r} matches no layer of the {type(model).__name__}; its {len(layers)} linear and "
            f"convolution layers are called {', '.join(list(layers)[:6]) or '(none)'}, ...; change the "
            f"expression, or take one of {', '.join([*PRESETS, CONV_BLOCK])}"
        )
    ranks = _ranks(list(groups), rank)
    return [make_candidate(layers, name, members, ranks[name], conv_form) for name, members in groups.items()]


def make_candidate(
    layers: Mapping[str, Layer], name: str, members: Sequence[str], rank: int, conv_form: ConvForm
) -> Candidate:
    """A candidate of some of a network's layers, with its cost.

    Args:
        layers: from :func:`find_layers`.
        name: of the candidate.
        members: names of its layers.
        rank: of each update.
        conv_form: form of the update of convolutions.

    Raises:
        ValueError: the network has no such layer, or it cannot take such an update.
    """
    if unknown := [member for member in members if member not in layers]:
        raise ValueError(
            f"the network has no linear or convolution layer {unknown[0]!r}, which the candidate {name!r} "
            "names; use the network that it was made for"
        )
    cost = sum(_cost(member, layers[member], rank, conv_form) for member in members)
    return Candidate(name, tuple(members), rank, conv_form, cost)


def find_layers(model: nn.Module) -> dict[str, Layer]:
    """The layers of a network that can carry a LoRA, by name, without the adapters they have already."""
    found: dict[str, Layer] = {}
    inside: list[str] = []
    for name, module in model.named_modules():
        if any(name.startswith(prefix) for prefix in inside):
            continue
        if isinstance(module, BaseTunerLayer):
            inside.append(f"{name}.")
            module = module.get_base_layer()
        # The output of torch's own multi-head attention is used as a matrix, never called.
        if name and isinstance(module, Layer) and not isinstance(module, NonDynamicallyQuantizableLinear):
            found[name] = module
    return found


def _expressions(spec: Spec) -> list[tuple[str, str]]:
    """Pairs of a name, empty where there is none, and an expression."""
    if isinstance(spec, str):
        spec = PRESETS.get(spec, spec)
    if isinstance(spec, str):
        return [("", spec)]
    return list(spec.items()) if isinstance(spec, Mapping) else [("", expression) for expression in spec]


def _check_expression(expression: str) -> None:
    try:
        re.compile(expression)
    except re.error as error:
        raise ValueError(
            f"{expression!r} is no regular expression ({error}); names of layers are matched whole, such as "
            r"'blocks\.\d+\.ff\..*'"
        ) from error


def _matched(layers: Mapping[str, Layer], expressions: list[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for layer in layers:
        for name, expression in expressions:
            if match := re.fullmatch(expression, layer):
                parts = [text for text in (*match.groups(), name) if text]
                groups.setdefault(".".join(parts) or layer, []).append(layer)
                break
    return groups


def _conv_blocks(model: nn.Module, layers: Mapping[str, Layer]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, layer in layers.items():
        parent, _, _ = name.rpartition(".")
        if parent and not isinstance(layer, nn.Linear):
            groups.setdefault(parent, []).append(name)
    return {
        parent: names
        for parent, names in groups.items()
        if len(names) > 1 and any(math.prod(layers[n].kernel_size) > 1 for n in names)  # pyright: ignore
    }


def _ranks(names: list[str], rank: int | Mapping[str, int]) -> dict[str, int]:
    if isinstance(rank, int):
        ranks = dict.fromkeys(names, rank)
    else:
        found = {name: [r for pattern, r in rank.items() if re.fullmatch(pattern, name)] for name in names}
        if missing := [name for name, matches in found.items() if not matches]:
            raise ValueError(
                f"no rank is given for the candidates {', '.join(missing[:3])}; add an expression"
            )
        if idle := [p for p in rank if not any(re.fullmatch(p, name) for name in names)]:
            raise ValueError(f"the ranks for {idle} match no candidate; found {', '.join(names[:6])}")
        ranks = {name: matches[0] for name, matches in found.items()}
    if bad := {name: r for name, r in ranks.items() if r < 1}:
        raise ValueError(f"ranks must be 1 or more, found {bad}")
    return ranks


def _cost(name: str, layer: Layer, rank: int, conv_form: ConvForm) -> int:
    """Parameters of a layer's LoRA; ValueError where it cannot have one."""
    if not layer.weight.is_floating_point():
        raise ValueError(f"the weight of {name} is {layer.weight.dtype}; expected floating point, not packed")
    if isinstance(layer, nn.Linear):
        return rank * (layer.in_features + layer.out_features)
    kernel, groups = layer.kernel_size, layer.groups
    if conv_form == "loralib":
        if not isinstance(layer, nn.Conv2d) or groups > 1 or len(set(kernel)) > 1:
            raise ValueError(
                "the loralib form is for two-dimensional convolutions with square kernels and one group; "
                f"{name} is a {type(layer).__name__} with kernel {kernel} and {groups} groups; use "
                "conv_form='peft', or leave it out"
            )
        return rank * kernel[0] ** 2 * (layer.in_channels + layer.out_channels)
    if rank % groups:
        raise ValueError(
            f"{name} is a convolution of {groups} groups, among which rank {rank} cannot be divided; take a "
            f"multiple of {groups}, or leave it out"
        )
    return rank * (layer.in_channels * math.prod(kernel) + layer.out_channels // groups)

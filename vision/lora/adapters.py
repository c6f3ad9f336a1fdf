"""LoRA on any network through peft, in the file that diffusers loads.

``W x + (alpha / rank) B A x`` with A (rank, in) and B (out, rank); B starts at zero, so that a fresh
adapter leaves the output bit-equal (Hu et al. 2021, arXiv 2106.09685).
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE as LORA_FILE
from diffusers.loaders.peft import PeftAdapterMixin
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vision.weights import header_shapes, raise_for_keys

#: Name under which a pipeline knows the network; each key of the file starts with it.
PREFIX = "transformer"

_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "add_v_proj")
_FEED_FORWARD = ("ffn.net.0.proj", "ffn.net.2")
#: Layers by name: those of every block of a Wan transformer.
PRESETS: Mapping[str, tuple[str, ...]] = {
    "attention": _ATTENTION,
    "feed-forward": _FEED_FORWARD,
    "attention+ffn": _ATTENTION + _FEED_FORWARD,
}


def add_lora(
    network: nn.Module,
    rank: int,
    alpha: float,
    target_modules: Sequence[str] | str = "attention+ffn",
    adapter_name: str = "default",
    *,
    seed: int = 0,
) -> LoraConfig:
    """Puts a LoRA on a network, in place; afterwards only the adapter requires gradients.

    Args:
        network: any module with linear (or convolution) layers.
        rank: rank of the update of each layer.
        alpha: the update is multiplied by alpha / rank.
        target_modules: a preset (:data:`PRESETS`), a list of name endings, or a regular expression that
            matches whole names.
        adapter_name: name of the adapter; a network can carry several.
        seed: of the draw of A, normal with standard deviation 1 / rank; torch's own random state stays
            as it is.

    Raises:
        ValueError: no layer has such a name, or an adapter of this name exists.
    """
    if adapter_name in getattr(network, "peft_config", {}):
        raise ValueError(f"the network already has an adapter {adapter_name!r}; choose another name")
    if isinstance(target_modules, str):
        targets = list(PRESETS[target_modules]) if target_modules in PRESETS else target_modules
    else:
        targets = list(target_modules)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, init_lora_weights="gaussian")  # pyright: ignore[reportArgumentType]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _inject(network, config, adapter_name)
    return config


def lora_state_dict(
    network: nn.Module, adapter_name: str = "default", weights: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The adapter's weights as diffusers names them: ``blocks.0.attn1.to_q.lora_A.weight``.

    Args:
        network: a network with the adapter.
        adapter_name: which.
        weights: values to take instead of the network's own, under the network's parameter names: an
            average of them (EMA), or what was gathered from a sharded network.
    """
    if adapter_name not in getattr(network, "peft_config", {}):
        found = sorted(getattr(network, "peft_config", {}))
        raise ValueError(
            f"the network has no adapter {adapter_name!r} (found {found or 'none'}); call add_lora first"
        )
    own = get_peft_model_state_dict(network, adapter_name=adapter_name)
    if weights is None:
        return own
    given = get_peft_model_state_dict(network, dict(weights), adapter_name)
    raise_for_keys(
        f"the weights are not those of the adapter {adapter_name!r}",
        {"missing": sorted(own.keys() - given.keys()), "unexpected": sorted(given.keys() - own.keys())},
        "pass the adapter's parameters under the network's names",
    )
    return given


def save_lora(
    folder: str | Path,
    network: nn.Module,
    metadata: Mapping[str, str] | None = None,
    *,
    adapter_name: str = "default",
    weights: Mapping[str, Tensor] | None = None,
) -> Path:
    """Writes ``pytorch_lora_weights.safetensors``, which ``load_lora_weights`` of a pipeline takes.

    The file appears whole or not at all.

    Args:
        folder: created where absent.
        network: a network with the adapter.
        metadata: texts for the file's header: data, seed, code version.
        adapter_name: which adapter.
        weights: see :func:`lora_state_dict`.

    Returns:
        The file's path.
    """
    state = {
        f"{PREFIX}.{key}": value.detach().cpu().contiguous()
        for key, value in lora_state_dict(network, adapter_name, weights).items()
    }
    config = {
        f"{PREFIX}.{key}": sorted(value) if isinstance(value, set) else value
        for key, value in network.peft_config[adapter_name].to_dict().items()  # pyright: ignore
    }
    header = {
        **(metadata or {}),
        "format": "pt",
        LORA_ADAPTER_METADATA_KEY: json.dumps(config, sort_keys=True),
    }
    path = Path(folder) / LORA_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(state, aside, metadata=header)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def lora_file(source: str | Path) -> Path:
    """The file of a LoRA, given that file or the folder that holds it."""
    path = Path(source)
    return path / LORA_FILE if path.is_dir() else path


def load_lora(network: nn.Module, folder: str | Path, adapter_name: str = "default") -> LoraConfig:
    """Puts a saved LoRA on a network that no pipeline holds; for one in a pipeline, ``load_lora_weights``.

    Args:
        network: the network it was made for, without an adapter of this name.
        folder: what :func:`save_lora` wrote, or the file in it.
        adapter_name: name that the adapter gets.

    Raises:
        ValueError: truncated or edited file, or one for another network; the first few keys are named.
    """
    path = lora_file(folder)
    shapes = header_shapes(path)
    check_lora_keys(network, shapes, str(path))
    with safe_open(path, framework="pt") as file:
        header = (file.metadata() or {}).get(LORA_ADAPTER_METADATA_KEY)
        state = {key.removeprefix(f"{PREFIX}."): file.get_tensor(key) for key in shapes}
    if header is None:
        raise ValueError(
            f"{path} does not say its rank and alpha; load it with a pipeline's load_lora_weights"
        )
    config = LoraConfig(
        **{key.removeprefix(f"{PREFIX}."): value for key, value in json.loads(header).items()}
    )
    _inject(network, config, adapter_name)
    raise_for_keys(
        f"{path} lacks weights of layers that its own settings name",
        {"missing": sorted(lora_state_dict(network, adapter_name).keys() - state.keys())},
        "copy it again, from the run that made it",
    )
    set_peft_model_state_dict(network, state, adapter_name)
    return config


def check_lora_keys(network: nn.Module, shapes: Mapping[str, Sequence[int]], source: str) -> None:
    """Checks that each key of a LoRA belongs to a layer of the network and fits it.

    Args:
        network: the network, with or without adapters.
        shapes: shape by key, with the prefix ``transformer.``.
        source: what the keys come from, for the message.

    Raises:
        ValueError: no key, keys of layers that the network lacks or of another size, A without B.
    """
    if not shapes:
        raise ValueError(f"{source} holds no weights; it is not a LoRA")
    weights = {name: getattr(module, "weight", None) for name, module in network.named_modules()}
    layers = {k.replace(".base_layer", ""): v for k, v in weights.items() if isinstance(v, Tensor)}
    unknown, misfits, missing = [], [], []
    for key, shape in shapes.items():
        name, _, part = key.removeprefix(f"{PREFIX}.").partition(".lora_")
        if not key.startswith(f"{PREFIX}.") or name not in layers or not part:
            unknown.append(key)
        elif part in ("A.weight", "B.weight"):
            side = 1 if part == "A.weight" else 0  # A (rank, in), B (out, rank), layer (out, in)
            if shape[side] != layers[name].shape[side]:
                misfits.append(f"{key} (found {tuple(shape)} for {tuple(layers[name].shape)})")
            partner = f"{PREFIX}.{name}.lora_{'B' if side else 'A'}.weight"
            if partner not in shapes:
                missing.append(partner)
    raise_for_keys(
        f"{source} is not a LoRA for this {type(network).__name__}",
        {"of no layer of it": unknown, "of another size": misfits, "missing": missing},
        f"its keys must read {PREFIX}.<layer>.lora_A.weight; use it with the network it was trained on",
    )


def _inject(network: nn.Module, config: LoraConfig, adapter_name: str) -> None:
    if isinstance(network, PeftAdapterMixin):
        network.add_adapter(config, adapter_name)
    else:
        inject_adapter_in_model(config, network, adapter_name)

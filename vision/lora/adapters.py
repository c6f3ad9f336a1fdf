"""LoRA on any network through peft, in the file that diffusers loads.

``W x + (alpha / rank) B A x`` with A (rank, in) and B (out, rank); B starts at zero, so that a fresh
adapter leaves the output bit-equal (Hu et al. 2021, arXiv 2106.09685).
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE as LORA_FILE
from diffusers.loaders.peft import PeftAdapterMixin
from diffusers.utils.peft_utils import set_weights_and_activate_adapters
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import check_target_module_exists
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vision.lora.base_hash import check_base_hash
from vision.weights import header_shapes, raise_for_keys
from vision.whole_file import written_aside

#: Name under which a pipeline knows the network; each key of the file starts with it.
PREFIX = "transformer"

_ATTENTION = r".*\.(to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out)"
# LongCat-Image's single blocks have no feed-forward module; proj_out is also the last layer of every network.
_FEED_FORWARD = (
    r".*\.(ffn|ff|ff_context)\.net\.(0\.proj|2)|.*single_transformer_blocks\.\d+\.(proj_mlp|proj_out)"
)
#: Layers by name, as regular expressions: those of every block of Wan, SD3 and LongCat-Image transformers.
PRESETS: Mapping[str, str] = {
    "attention": _ATTENTION,
    "feed-forward": _FEED_FORWARD,
    "attention+ffn": f"{_ATTENTION}|{_FEED_FORWARD}",
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
        targets = PRESETS.get(target_modules, target_modules)
    else:
        targets = list(target_modules)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, init_lora_weights="gaussian")  # pyright: ignore[reportArgumentType]
    if not any(check_target_module_exists(config, name) for name, _ in network.named_modules()):
        layers = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
        raise ValueError(
            f"target_modules {target_modules!r} match no layer of the {type(network).__name__}; its layers "
            f"are called {', '.join(layers[:6])}, ...; change target_modules, or take one "
            f"of {', '.join(PRESETS)}"
        )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # That the network carries another adapter already.
        warnings.filterwarnings("ignore", "Already found a `peft_config`")
        torch.manual_seed(seed)
        inject_config(network, config, adapter_name)
    return config


def set_adapters(
    network: nn.Module, names: str | Sequence[str], weights: float | Sequence[float] = 1.0
) -> None:
    """Chooses the adapters that a network is called with, and how much each counts.

    Args:
        network: a network with adapters, in a pipeline or not.
        names: one, or several whose updates are added; none for the base.
        weights: factor of the updates, one for all or one each.

    Raises:
        ValueError: no such adapter, or another number of weights than of names.
    """
    names = [names] if isinstance(names, str) else list(names)
    weights = [weights] * len(names) if isinstance(weights, int | float) else list(weights)
    found = sorted(getattr(network, "peft_config", {}))
    if unknown := [name for name in names if name not in found]:
        raise ValueError(
            f"the network has no adapter {unknown[0]!r} (found {found or 'none'}); load it first"
        )
    if len(weights) != len(names):
        raise ValueError(f"{len(weights)} weights were given for {len(names)} adapters; give one each")
    set_weights_and_activate_adapters(network, names, weights)


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
    if any(".lora_gate." in key for key in own):
        raise ValueError(
            f"the adapter {adapter_name!r} has gates, which this form leaves out; save it with GatedLora.save"
        )
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
    state = lora_state_dict(network, adapter_name, weights)
    config: LoraConfig = network.peft_config[adapter_name]  # pyright: ignore
    path = Path(folder) / LORA_FILE
    write_lora(path, state, config, metadata)
    return path


def write_lora(
    path: Path, state: Mapping[str, Tensor], config: LoraConfig, metadata: Mapping[str, str] | None = None
) -> None:
    """Writes weights of a LoRA as the file that diffusers loads; it appears whole or not at all.

    Args:
        path: of the file.
        state: weights as :func:`lora_state_dict` names them.
        config: peft's settings of the adapter.
        metadata: see :func:`save_lora`.
    """
    settings = {
        f"{PREFIX}.{key}": sorted(value) if isinstance(value, set) else value
        for key, value in config.to_dict().items()
    }
    header = {
        **(metadata or {}),
        "format": "pt",
        LORA_ADAPTER_METADATA_KEY: json.dumps(settings, sort_keys=True),
    }
    whole = {f"{PREFIX}.{key}": value.detach().cpu().contiguous() for key, value in state.items()}
    with written_aside(path) as aside:
        save_file(whole, aside, metadata=header)


def lora_file(source: str | Path) -> Path:
    """The file of a LoRA, given that file or the folder that holds it."""
    path = Path(source)
    return path / LORA_FILE if path.is_dir() else path


def lora_metadata(source: str | Path) -> dict[str, str]:
    """The texts in a LoRA's header; ValueError where the file is not whole."""
    path = lora_file(source)
    header_shapes(path)
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def load_lora(network: nn.Module, folder: str | Path, adapter_name: str = "default") -> LoraConfig:
    """Puts a saved LoRA on a network that no pipeline holds; for one in a pipeline, ``load_lora_weights``.

    Args:
        network: the network it was made for, without an adapter of this name.
        folder: what :func:`save_lora` wrote, or the file in it.
        adapter_name: name that the adapter gets.

    Raises:
        ValueError: truncated or edited file, or one for another network; the first few keys are named. Also
            a network whose weights are not those that the file says it was made for.
    """
    path = lora_file(folder)
    shapes = header_shapes(path)
    check_lora_keys(network, shapes, str(path))
    metadata = lora_metadata(path)
    check_base_hash(network, metadata, str(path))
    header = metadata.get(LORA_ADAPTER_METADATA_KEY)
    with safe_open(path, framework="pt") as file:
        state = {key.removeprefix(f"{PREFIX}."): file.get_tensor(key) for key in shapes}
    if header is None:
        raise ValueError(
            f"{path} does not say its rank and alpha; load it with a pipeline's load_lora_weights"
        )
    config = LoraConfig(
        **{key.removeprefix(f"{PREFIX}."): value for key, value in json.loads(header).items()}
    )
    inject_config(network, config, adapter_name)
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
    # A convolution of several groups keeps the input channels of one; its A reads those of all.
    groups = {k.replace(".base_layer", ""): getattr(m, "groups", 1) for k, m in network.named_modules()}
    unknown, misfits, missing = [], [], []
    for key, shape in shapes.items():
        name, _, part = key.removeprefix(f"{PREFIX}.").partition(".lora_")
        if not key.startswith(f"{PREFIX}.") or name not in layers or not part:
            unknown.append(key)
        elif part in ("A.weight", "B.weight"):
            side = 1 if part == "A.weight" else 0  # A (rank, in), B (out, rank), layer (out, in)
            if shape[side] != layers[name].shape[side] * (groups[name] if side else 1):
                misfits.append(f"{key} (found {tuple(shape)} for {tuple(layers[name].shape)})")
            partner = f"{PREFIX}.{name}.lora_{'B' if side else 'A'}.weight"
            if partner not in shapes:
                missing.append(partner)
    raise_for_keys(
        f"{source} is not a LoRA for this {type(network).__name__}",
        {"of no layer of it": unknown, "of another size": misfits, "missing": missing},
        f"its keys must read {PREFIX}.<layer>.lora_A.weight; use it with the network it was trained on",
    )


def inject_config(network: nn.Module, config: LoraConfig, adapter_name: str) -> None:
    """Puts a fresh adapter with these settings on a network, in place."""
    if isinstance(network, PeftAdapterMixin):
        network.add_adapter(config, adapter_name)
    else:
        inject_adapter_in_model(config, network, adapter_name)

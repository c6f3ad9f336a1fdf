"""A gated LoRA in files: its own, peft's and diffusers'.

Legend: I input channels, O output channels, k side of a kernel, r rank.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import torch
from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE as LORA_FILE
from peft import LoraConfig
from peft.tuners.lora.layer import LoraLayer
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from vision.lora.adapters import write_lora
from vision.lora.base_hash import BASE_HASH_KEY, base_hash
from vision.lora.gated_layers import changes_geometry, peft_config
from vision.whole_file import written_aside

if TYPE_CHECKING:
    from vision.lora.gated_lora import GatedLora

#: ``native`` keeps the gates; ``peft`` is a folder that peft loads and ``diffusers`` a file that diffusers
#: loads, both with gate and scale in B.
AdapterFormat = Literal["native", "peft", "diffusers"]
#: Entries of a file's header: candidates and gates of a native file; selection and search log of any.
CANDIDATES_KEY = "gated_lora"
RECORD_KEY = "gated_lora_record"


def save_gated(lora: "GatedLora", path: str | Path, format: AdapterFormat = "native") -> Path:
    """Writes an adapter. Its header names the base's hash, the selection and the log of the search.

    Args:
        lora: not merged.
        path: ``native``: a file; ``diffusers``: a file, or a folder for ``pytorch_lora_weights.safetensors``;
            ``peft``: a folder.
        format: see :data:`AdapterFormat`.

    Returns:
        The file with the weights.

    Raises:
        ValueError: an unknown format, a path that does not fit it, or a convolution that peft's and
            diffusers' loaders would build otherwise (dilation, padding that is not of zeros).
    """
    path = Path(path)
    is_file = path.suffix == ".safetensors"
    if format == "native" and not is_file:
        raise ValueError(f"a native adapter is one file; end its name in .safetensors, found {path}")
    if format == "peft" and is_file:
        raise ValueError(f"a peft adapter is a folder with {CONFIG_NAME} in it; give a folder, not {path}")
    if format not in get_args(AdapterFormat):
        raise ValueError(f"format {format!r} does not exist; use one of {', '.join(get_args(AdapterFormat))}")
    header = {BASE_HASH_KEY: base_hash(lora.network), RECORD_KEY: json.dumps(lora.record, sort_keys=True)}
    if format == "native":
        return _save_native(lora, path, header)
    state, config = baked(lora)
    if format == "peft":
        return _save_peft(path, state, config, header)
    path = path if is_file else path / LORA_FILE
    write_lora(path, state, config, header)
    return path


@torch.no_grad()
def baked(lora: "GatedLora") -> tuple[dict[str, Tensor], LoraConfig]:
    """The adapter as plain LoRA, gate and scale in B; and peft's settings for it, ``lora_alpha`` = rank.

    A convolution in loralib's form is an exact one of rank ``r k k`` in peft's.
    """
    state: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for candidate in lora.candidates:
        factor = lora.scale * lora.gates[candidate.name]().item()
        for name, layer in lora.layers(candidate).items():
            if changes_geometry(layer.get_base_layer()):
                raise ValueError(
                    f"{name} is a convolution with dilation or with padding that is not of zeros, which "
                    "peft's and diffusers' loaders do not know; save the adapter as 'native', or merge it"
                )
            a, b = _peft_factors(layer, lora.adapter_name)
            state[f"{name}.lora_A.weight"] = a
            state[f"{name}.lora_B.weight"] = factor * b
            ranks[name] = a.shape[0]
    return state, peft_config(ranks, 1.0)


def _peft_factors(layer: LoraLayer, adapter: str) -> tuple[Tensor, Tensor]:
    """A and B as peft shapes them: (r, I, k, k) and (O, r, 1, 1) for a convolution."""
    a, b = layer.lora_A[adapter], layer.lora_B[adapter]
    base = layer.get_base_layer()
    if not (isinstance(base, _ConvNd) and isinstance(a, nn.Linear)):
        return a.weight.detach(), b.weight.detach()  # pyright: ignore
    # Row o k + s of B makes the s-th of the k parts of the kernel of output o, each with the same A.
    side, outputs = base.kernel_size[0], base.out_channels
    wide = torch.block_diag(*[a.weight] * side)
    return (
        wide.view(len(wide), base.in_channels, side, side),
        b.weight.detach().reshape(outputs, len(wide), 1, 1),  # pyright: ignore
    )


def _save_native(lora: "GatedLora", path: Path, header: dict[str, str]) -> Path:
    state = {}
    for candidate in lora.candidates:
        for name, layer in lora.layers(candidate).items():
            state[f"{name}.lora_A"] = layer.lora_A[lora.adapter_name].weight
            state[f"{name}.lora_B"] = layer.lora_B[lora.adapter_name].weight
        state[f"{candidate.name}.alpha"] = lora.gates[candidate.name].alpha
    told = {
        "scale": lora.scale,
        "candidates": [
            {
                "name": c.name,
                "layers": c.layers,
                "rank": c.rank,
                "conv_form": c.conv_form,
                "trainable": c.name in lora.alphas,
            }
            for c in lora.candidates
        ],
    }
    with written_aside(path) as aside:
        save_file(_plain(state), aside, {**header, CANDIDATES_KEY: json.dumps(told, sort_keys=True)})
    return path


def _save_peft(folder: Path, state: dict[str, Tensor], config: LoraConfig, header: dict[str, str]) -> Path:
    settings = {k: sorted(v) if isinstance(v, set) else v for k, v in config.to_dict().items()}
    with written_aside(folder / CONFIG_NAME) as aside:
        aside.write_text(json.dumps({**settings, "inference_mode": True}, indent=2, sort_keys=True) + "\n")
    path = folder / SAFETENSORS_WEIGHTS_NAME
    with written_aside(path) as aside:
        named = {f"base_model.model.{key}": value for key, value in state.items()}
        save_file(_plain(named), aside, {**header, "format": "pt"})
    return path


def _plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().cpu().contiguous() for key, value in state.items()}

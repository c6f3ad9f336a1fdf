"""Reading a gated LoRA from its own file."""

import json
from pathlib import Path

from safetensors import safe_open
from torch import nn

from vision.lora.adapters import lora_metadata
from vision.lora.base_hash import check_base_hash
from vision.lora.discovery import find_layers, make_candidate
from vision.lora.gate import Gate
from vision.lora.gated_files import CANDIDATES_KEY, RECORD_KEY
from vision.lora.gated_lora import GatedLora
from vision.weights import header_shapes, raise_for_keys


def load_gated(network: nn.Module, path: str | Path, adapter_name: str = "default") -> GatedLora:
    """Puts a saved gated LoRA on the network it was made for, in place, with the same bits.

    Args:
        network: the base; it may carry adapters of other names.
        path: what :meth:`GatedLora.save <vision.lora.gated_lora.GatedLora.save>` wrote as ``native``. For
            the other formats there are peft, a pipeline's ``load_lora_weights`` and
            :func:`~vision.lora.adapters.load_lora`.
        adapter_name: name that it gets.

    Raises:
        ValueError: a truncated file, one of another kind, or one for a network with other weights or layers.
    """
    path = Path(path)
    shapes, metadata = header_shapes(path), lora_metadata(path)
    if CANDIDATES_KEY not in metadata:
        raise ValueError(
            f"{path} is no native adapter; load it with peft or diffusers, or save it as 'native'"
        )
    check_base_hash(network, metadata, str(path))
    told = json.loads(metadata[CANDIDATES_KEY])
    candidates, gates = [], {}
    with safe_open(path, framework="pt") as file:
        state = {key: file.get_tensor(key) for key in shapes}
    keys = {f"{c['name']}.alpha" for c in told["candidates"]}
    keys |= {
        f"{layer}.{part}"
        for c in told["candidates"]
        for layer in c["layers"]
        for part in ("lora_A", "lora_B")
    }
    raise_for_keys(
        f"{path} does not hold what its own header lists",
        {"missing": sorted(keys - state.keys()), "unexpected": sorted(state.keys() - keys)},
        "copy it again, from the run that made it",
    )
    layers = find_layers(network)
    for c in told["candidates"]:
        candidates.append(make_candidate(layers, c["name"], c["layers"], c["rank"], c["conv_form"]))
        gates[c["name"]] = Gate(state[f"{c['name']}.alpha"].item(), c["trainable"])
    lora = GatedLora(network, candidates, told["scale"], adapter_name, gates)
    lora.load_weights(
        {
            layer: [state[f"{layer}.lora_A"], state[f"{layer}.lora_B"]]
            for c in candidates
            for layer in c.layers
        }
    )
    lora.record = json.loads(metadata[RECORD_KEY])
    return lora

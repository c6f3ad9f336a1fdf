"""Are these the weights of that network? Asked of file headers, before a single weight is read.

diffusers loads a model whose file lacks weights (they stay on the meta device), one with left-over
weights (half of a deeper network, say) and one from pickle, each with a warning at most. Here these
are errors, found by comparing the headers of the safetensors files with the network that config.json
describes, built without memory.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; ValueError where the file is absent or is not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; copy it from the model it belongs to") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); restore it or save the model again") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, expected an object with named fields")
    return content


def raise_for_keys(what: str, problems: dict[str, list[str]], remedy: str) -> None:
    """Raises a ValueError that names the first few keys of each kind of problem, if there is any."""
    parts = [
        f"{len(keys)} {kind}: {', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}"
        for kind, keys in problems.items()
        if keys
    ]
    if parts:
        raise ValueError(f"{what}: {'; '.join(parts)}; {remedy}")


def header_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Shapes by key from one safetensors header; ValueError where the file is not whole."""
    if not file.is_file():
        raise ValueError(f"{file} does not exist; copy it from the model it belongs to")
    try:
        with safe_open(file, framework="pt") as weights:
            return {key: tuple(weights.get_slice(key).get_shape()) for key in weights.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{file} ({file.stat().st_size:,} bytes) is not a whole safetensors file: {error}; "
            "it was truncated or edited, copy it again"
        ) from None


def weight_shapes(
    folder: Path, stem: str = "diffusion_pytorch_model", variant: str | None = None
) -> dict[str, tuple[int, ...]]:
    """Shapes by key of the weights in a model's folder, in one file or in shards with an index.

    Args:
        folder: the model's folder.
        stem: ``diffusion_pytorch_model`` for diffusers, ``model`` for transformers.
        variant: "fp16" in ``model.fp16.safetensors``; a folder without it gives its plain weights, as
            in diffusers.
    """
    names = [f"{stem}.safetensors", f"{stem}.safetensors.index.json"]
    if variant:
        names = [f"{stem}.{variant}.safetensors", f"{stem}.safetensors.index.{variant}.json", *names]
    for path in (folder / name for name in names):
        if path.is_file() and path.suffix == ".safetensors":
            return header_shapes(path)
        if path.is_file():
            shards = sorted(set(read_json(path).get("weight_map", {}).values()))
            return {key: shape for shard in shards for key, shape in header_shapes(folder / shard).items()}
    if not folder.is_dir():
        raise ValueError(f"{folder} does not exist; give the folder of a model's weights")
    if (folder / "model_index.json").is_file():
        raise ValueError(
            f"{folder} is a whole pipeline; give the part of it, such as {folder / 'transformer'}"
        )
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    hint = f"it has {pickles[0]}, a pickle, which is never read: convert it" if pickles else "copy it there"
    raise ValueError(f"{folder} has no weights: expected {stem}.safetensors; {hint}")


def parameters_text(folder: Path) -> str:
    """The number of weights in a model's folder, for a reader: "1.27 million"."""
    count = sum(math.prod(shape) for shape in weight_shapes(folder).values())
    return f"{count / 1e6:.2f} million" if count >= 1e6 else f"{count:,}"


def check_weights(folder: Path, model_class: Any, variant: str | None = None) -> None:
    """Checks that a diffusers model's folder holds exactly the weights its config.json describes.

    Args:
        folder: the model's folder.
        model_class: a ``ModelMixin`` with ``from_config``.
        variant: see :func:`weight_shapes`.

    Raises:
        ValueError: a file is absent, truncated or edited; keys or shapes are not the network's. The
            first few keys are named.
    """
    found = weight_shapes(folder, variant=variant)
    config = read_json(folder / "config.json")
    if "quantization_config" in config:  # stored in a packed form that only the quantizer knows
        return
    with torch.device("meta"):
        model = model_class.from_config(config)
    assert isinstance(model, nn.Module)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    ignored = getattr(model_class, "_keys_to_ignore_on_load_unexpected", None) or []
    unexpected = sorted(found.keys() - expected.keys())
    kind = config.get("_class_name", model_class.__name__)
    raise_for_keys(
        f"the weights in {folder} are not those of the {model_class.__name__} that its config.json describes"
        + (f" (it says {kind})" if kind != model_class.__name__ else ""),
        {
            "missing": sorted(expected.keys() - found.keys()),
            "unexpected": [key for key in unexpected if not any(re.search(part, key) for part in ignored)],
            "of another shape": sorted(
                f"{key} (found {found[key]}, expected {expected[key]})"
                for key in expected.keys() & found.keys()
                if found[key] != expected[key]
            ),
        },
        "put back the config.json and the weights that belong together",
    )

"""The facts of the model cards of dehazing networks and of their adapters."""

import json
from pathlib import Path
from typing import Any

from vision.cards.names import model_name
from vision.weights import parameters_text

#: Beside a model: what was measured on held-out pictures, a list of records.
MEASURES_FILE = "measures.json"
#: An adapter with its gates.
ADAPTER_FILE = "adapter.safetensors"
NOT_MEASURED = "Not measured yet; infer.dehaze --clear measures it."
_LOSSES = {
    "haze_to_clear": "hazy pictures alone, by the haze-to-clear loss of BiLaLoRA (arXiv 2603.10872)",
    "paired": "pairs",
}
_NAMES = {"fog": "fog density (FADE)", "entropy": "entropy, bits", "psnr": "PSNR, dB", "ssim": "SSIM"}


def dehaze_facts(recipe: dict[str, Any], model: Path, place: str) -> dict[str, Any]:
    """Summary, call, data and quality of a network that was trained from pairs, for a card.

    Args:
        recipe: of the run, resolved.
        model: the pipeline's folder.
        place: where a reader will find it.
    """
    settings = recipe["model"]
    start = "scratch" if settings["weights"] is None else model_name(settings["weights"])
    kind = "transformer that flows from the hazy picture to the clear one"
    if settings["transformer"] is None:
        kind = "DEA-Net" if settings["dea_net"] is not None else "network"
    return {
        "summary": (
            f"Clears hazy pictures: a {kind} of {parameters_text(model / 'network')} parameters, trained "
            f"from {start} on pairs with synthetic haze, in crops of {recipe['data']['crop']} pixels."
        ),
        "call": _call(place),
        "data": {"pairs": _named(recipe["data"]["path"])},
        "quality": _quality(model),
    }


def dehaze_adapter_facts(recipe: dict[str, Any], model: Path, place: str) -> dict[str, Any]:
    """The same of an adapter, with the places that the search chose."""
    base = model_name(recipe["model"]["base"])
    return {
        "summary": (
            f"An adapter that brings {base} to another haze, trained on {_LOSSES[recipe['loss']]}. A bilevel "
            "search chose its places (BiLaLoRA, arXiv 2603.10872)."
        ),
        "call": _call(base, f'pipeline.load_lora_weights("{place}/{ADAPTER_FILE}")\n'),
        "data": {"pictures": _named(recipe["data"]["path"]), "loss": _loss(model), "base": base},
        "quality": _quality(model),
    }


def dehaze_full_facts(recipe: dict[str, Any], model: Path, place: str) -> dict[str, Any]:
    """The same of a network whose weights were all trained on."""
    base = model_name(recipe["model"]["base"])
    return {
        "summary": f"{base} brought to another haze whole, on {_LOSSES[recipe['loss']]}.",
        "call": _call(place),
        "data": {"pictures": _named(recipe["data"]["path"]), "loss": _loss(model), "base": base},
        "quality": _quality(model),
    }


def _call(place: str, adapter: str = "") -> str:
    return (
        "from PIL import Image\n\nfrom vision import DehazePipeline\n\n"
        f'pipeline = DehazePipeline.from_pretrained("{place}")\n{adapter}'
        'pipeline(Image.open("hazy.jpg").convert("RGB")).images[0].save("clear.png")'
    )


def _named(path: str) -> str:
    """A data folder by its last two names: train is not telling."""
    return "/".join(Path(path).parts[-2:])


def _loss(model: Path) -> str:
    """What the loss rested on: a stand-in must not pass for CLIP."""
    file = model / MEASURES_FILE
    return json.loads(file.read_text(encoding="utf-8"))["loss"] if file.is_file() else "not recorded"


def _quality(model: Path) -> Any:
    file = model / MEASURES_FILE
    if not file.is_file():
        return NOT_MEASURED
    told = json.loads(file.read_text(encoding="utf-8"))
    table = {}
    for record in told["records"]:
        values = {_NAMES[name]: record[name] for name in _NAMES if name in record}
        table[f"{record['pictures']} ({told['count']} held-out pictures)"] = values
    return table

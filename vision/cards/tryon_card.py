"""The facts of a try-on's model card: of one that was trained, and of one that was distilled."""

from pathlib import Path
from typing import Any

from vision.cards.methods import METHODS
from vision.cards.names import model_name
from vision.weights import parameters_text, read_json

NOT_MEASURED = "Not measured yet; measure with benchmarks.tryon."
_TRAINED = {
    "full": "all of it",
    "guider_context": "its guider and its context blocks",
    "guider": "its guider",
    "lora": "its guider and an adapter, which is merged,",
}


def tryon_facts(recipe: dict[str, Any], model: Path, place: str) -> dict[str, Any]:
    """Summary, call, data and quality of a trained try-on, for a card.

    Args:
        recipe: of the run, resolved.
        model: the pipeline's folder.
        place: where a reader will find it.
    """
    weights, actions = recipe["model"]["weights"], recipe["data"]["actions"]
    return {
        "summary": (
            "Dresses a person in a video who handles a garment in another one (iTryOn, arXiv 2605.21431): a "
            f"transformer of {parameters_text(model / 'transformer')} parameters for {_size(recipe)}, "
            f"{_TRAINED[recipe['trained']]} trained by flow matching from "
            f"{'scratch' if weights is None else model_name(weights)}"
            f"{'' if actions else ', without captions of actions'}."
        ),
        "call": _call(place),
        "data": {
            "clips": _clips(recipe),
            "size": _size(recipe),
            "autoencoder": model_name(recipe["model"]["vae"]),
            "text encoder": recipe["text"]["encoder"],
        },
        "quality": NOT_MEASURED,
    }


def tryon_student_facts(recipe: dict[str, Any], model: Path, place: str) -> dict[str, Any]:
    """The same of a distilled try-on."""
    teacher = model_name(recipe["teacher"])
    steps = len(read_json(model / "model_index.json")["default_sigmas"])
    return {
        "summary": (
            "Dresses a person in a video who handles a garment in another one (iTryOn, arXiv 2605.21431) in "
            f"{steps} network evaluations: a transformer of {parameters_text(model / 'transformer')} "
            f"parameters for {_size(recipe)}, made from {teacher} by {METHODS['cdm']} under the conditions "
            f"of clips{'' if recipe['data']['actions'] else ', without captions of actions'}."
        ),
        "call": _call(place),
        "data": {"clips": _clips(recipe), "size": _size(recipe), "teacher": teacher},
        "quality": NOT_MEASURED,
    }


def _clips(recipe: dict[str, Any]) -> str:
    return Path(recipe["data"]["list"] or recipe["data"]["path"]).name


def _call(place: str) -> str:
    return (
        "from PIL import Image\n\n"
        "from vision import TryOnPipeline\nfrom vision.media import read_video\n\n"
        f'pipeline = TryOnPipeline.from_pretrained("{place}")\n'
        "frames = pipeline(\n"
        '    read_video("person.mp4")[0],\n'
        '    mask=read_video("mask.mp4")[0][:1],\n'
        '    garment=Image.open("garment.png"),\n'
        '    pose=read_video("pose.mp4")[0],\n'
        '    hands=read_video("hand.mp4")[0],\n'
        '    actions=[(4, 12, "Adjusting the hem")],\n'
        ").frames[0]"
    )


def _size(recipe: dict[str, Any]) -> str:
    data = recipe["data"]
    return f"{data['height']} x {data['width']} pixels and {data['frames']} frames"

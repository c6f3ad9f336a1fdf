"""The facts of a world's model card: of one that was trained, and of one that was distilled."""

from pathlib import Path
from typing import Any

from vision.cards.methods import METHODS
from vision.cards.names import model_name
from vision.weights import parameters_text, read_json

NOT_MEASURED = "Not measured yet; measure with benchmarks.world."


def world_facts(recipe: dict[str, Any], model: Path, place: str) -> dict[str, Any]:
    """Summary, call, data and quality of a trained world, for a card.

    Args:
        recipe: of the run, resolved.
        model: the pipeline's folder.
        place: where a reader will find it.
    """
    data, weights, causal = recipe["data"], recipe["model"]["weights"], recipe["causal"]
    made = "at once" if causal is None else f"also part by part, {_latent_frames(causal['chunk'])} at a time"
    return {
        "summary": (
            f"A first-person world that answers a gamepad (SCOPE, arXiv 2605.23345): a transformer of "
            f"{parameters_text(model / 'transformer')} parameters for clips of {_size(data)} and "
            f"{data['frames']} frames, made {made}, trained by flow matching from "
            f"{'scratch' if weights is None else model_name(weights)}."
        ),
        "call": _call(place, data["frames"]),
        "data": {
            "clips": f"{Path(data['path']).name}, {data['frames']} frames at {data['frame_rate']:g} a second",
            "size": _size(data),
            "autoencoder": model_name(recipe["model"]["vae"]),
        },
        "quality": NOT_MEASURED,
    }


def world_student_facts(recipe: dict[str, Any], model: Path, place: str) -> dict[str, Any]:
    """The same of a distilled world."""
    data, teacher = recipe["data"], model_name(recipe["teacher"])
    steps = len(read_json(model / "model_index.json")["default_sigmas"])
    chunk = read_json(model / "transformer" / "config.json")["causal"]["chunk"]
    return {
        "summary": (
            f"A first-person world that answers a gamepad, made {_latent_frames(chunk)} (four frames of "
            f"video each) at a time in {steps} network evaluations: a transformer of "
            f"{parameters_text(model / 'transformer')} parameters for {_size(data)}, made from {teacher} by "
            f"{METHODS['cdm']} on its own streams of {data['frames']} frames."
        ),
        "call": _call(place, data["frames"]),
        "data": {
            "first frames and gamepad": Path(data["path"]).name,
            "size": _size(data),
            "teacher": teacher,
        },
        "quality": NOT_MEASURED,
    }


def _call(place: str, frames: int) -> str:
    return (
        "import torch\nfrom PIL import Image\n\n"
        "from vision import WorldPipeline\nfrom vision.transformer import Actions\n\n"
        f'pipeline = WorldPipeline.from_pretrained("{place}")\n'
        f"sticks, buttons = torch.zeros(1, {frames}, 4), torch.zeros(1, {frames}, 6)\n"
        "sticks[..., 1] = -1  # walk forward\n"
        'latents = pipeline.clip_latents(Image.open("first.png"), Actions(sticks, buttons))\n'
        "frames = pipeline.show(latents)[0]"
    )


def _latent_frames(count: int) -> str:
    return f"{count} latent frame{'s' * (count > 1)}"


def _size(data: dict[str, Any]) -> str:
    return f"{data['height']} x {data['width']} pixels"

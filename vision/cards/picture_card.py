"""The facts of the card of a model of pictures, or of what measures them."""

import json
from pathlib import Path
from typing import Any

from vision.cards.methods import METHODS
from vision.cards.names import model_name
from vision.distill.families import StockFamily, stock_family
from vision.distill.few_step import FILE, FewStep
from vision.lora.adapters import LORA_FILE, lora_metadata
from vision.metrics import FeatureStatistics
from vision.weights import parameters_text, read_json

NOT_MEASURED = "Not measured yet; measure with infer.compare."


def picture_facts(recipe: dict[str, Any], model: Path, place: str) -> dict[str, Any]:
    """Summary, call, data and quality of a model of pictures, for a card.

    Args:
        recipe: of the run, resolved.
        model: folder of the model that the run made.
        place: where a reader will find it.
    """
    return {
        "summary": _summary(recipe, model),
        "call": _call(recipe, model, place),
        "data": _data(recipe),
        "quality": _quality(recipe["recipe"], model),
    }


def _summary(recipe: dict[str, Any], model: Path) -> str:
    lora = recipe.get("lora")
    if recipe["recipe"] == "classifier":
        names = recipe["data"]["class_names"]
        return (
            f"A small classifier of {len(names)} kinds of pictures ({parameters_text(model)} parameters): "
            "the Fréchet distance is measured in its features. Statistics of held-out pictures lie beside "
            "it. "
            "Distances in these features are comparable with each other, not with those in Inception's."
        )
    if recipe["recipe"] in METHODS:
        lora = lora if recipe["memory"] == "lora" else None
        what = f"the adapter (LoRA, rank {lora['rank']}) that turns" if lora else "made from"
        made = f"{what} {model_name(recipe['teacher'])}"
        steps = recipe["preview"]["steps"]
        family = family_of(model)
        task = "text-to-image" if family is None else family.task
        return (
            f"A {task} model of {steps} steps, {made}{' into it' if lora else ''} by "
            f"{METHODS[recipe['recipe']]}."
        )
    data, steps = recipe["data"], recipe["preview"]["steps"]
    size = f"{data['height']} x {data['width']} pixels"
    weights = recipe["model"]["weights"]
    start = "scratch" if weights is None else model_name(weights)
    if lora:
        return (
            f"A LoRA of rank {lora['rank']} for the text-to-image model {start}, trained by flow matching on "
            f"pictures of {size}."
        )
    return (
        f"A text-to-image transformer of {parameters_text(model / 'transformer')} parameters for pictures of "
        f"{size}, trained by flow matching from {start}; by default "
        f"{steps} steps with guidance {recipe['preview']['guidance_scale']:g}."
    )


def _call(recipe: dict[str, Any], model: Path, place: str) -> str:
    if recipe["recipe"] == "classifier":
        return (
            "from vision.metrics import FeatureNetwork, FeatureStatistics\n\n"
            f'network = FeatureNetwork.from_pretrained("{place}").eval()\n'
            f'reference, facts = FeatureStatistics.load("{place}/statistics.safetensors")\n'
            "features, scores = network(pixels)  # pixels (B, C, H, W) in [-1, 1]"
        )
    family = family_of(model)
    if family is not None:
        return _stock_call(family, recipe, model, place)
    pipeline, extra, options = place, "", ""
    if (model / LORA_FILE).is_file():
        preview = recipe["preview"]
        pipeline = model_name(
            recipe["teacher"] if recipe["recipe"] in METHODS else recipe["model"]["weights"]
        )
        extra = f'pipeline.load_lora_weights("{place}")\n'
        grid = preview["sigmas"]
        steps = f"num_inference_steps={preview['steps']}" if grid is None else f"sigmas={grid}"
        options = f", {steps}, guidance_scale={preview['guidance_scale']}"
    prompt = next(iter(recipe["preview"]["prompts"]), "a photo")
    return (
        "from vision import TextToImagePipeline\n\n"
        f'pipeline = TextToImagePipeline.from_pretrained("{pipeline}")\n{extra}'
        f'pipeline({json.dumps(prompt, ensure_ascii=False)}{options}).images[0].save("picture.png")'
    )


def family_of(model: Path) -> type[StockFamily] | None:
    """The family of a student that diffusers alone draws with: one of its pipelines, or an adapter."""
    if (model / "model_index.json").is_file():
        return stock_family(read_json(model / "model_index.json").get("_class_name"))
    if (model / LORA_FILE).is_file():
        return stock_family(lora_metadata(model / LORA_FILE).get("pipeline"))
    return None


def _stock_call(family: type[StockFamily], recipe: dict[str, Any], model: Path, place: str) -> str:
    teacher, few_step = recipe["teacher"], FewStep.load(model)
    if few_step is None:
        raise ValueError(f"{model} has no {FILE}, so nobody knows how it is sampled; restore it")
    adapter = (model / LORA_FILE).is_file()
    sizes = {name: recipe[name] for name in ("height", "width", "num_frames") if recipe[name] is not None}
    if recipe["max_prompt_tokens"] not in (None, family.default_prompt_tokens):
        sizes["max_sequence_length"] = recipe["max_prompt_tokens"]
    return family.call(
        (model_name(teacher) if Path(teacher).is_absolute() else teacher) if adapter else place,
        prompt=next(iter(recipe["preview"]["prompts"]), "a red fox in the snow"),
        sigmas=few_step.sigmas,
        lora=place if adapter else None,
        guidance_scale=few_step.guidance_scale,
        **sizes,
    )


def _data(recipe: dict[str, Any]) -> dict[str, Any]:
    if "prompts" in recipe:
        return {
            "prompts": Path(recipe["prompts"]).name,
            "pictures": "none; the teacher is asked instead",
            "teacher": model_name(recipe["teacher"]),
        }
    shown: dict[str, Any] = {"teacher": model_name(recipe["teacher"])} if "teacher" in recipe else {}
    for name, data in (("training", recipe["data"]), ("held out", recipe.get("held_out"))):
        if data is not None:
            files = [Path(data[key]).name for key in ("path", "labels_path") if data[key] is not None]
            shown[f"{name} pictures"] = f"{', '.join(files)} ({data['source']})"
    data = recipe["data"]
    shown["size"] = f"{data['height']} x {data['width']} pixels"
    if data["class_names"]:
        shown["classes"] = ", ".join(data["class_names"])
    if "templates" in data and recipe["recipe"] != "classifier":
        shown["captions"] = ", ".join(f'"{template}"' for template in data["templates"])
    return shown


def _quality(kind: str, model: Path) -> Any:
    return _accuracy(model) if kind == "classifier" else NOT_MEASURED


def _accuracy(model: Path) -> dict[str, Any]:
    statistics, metadata = FeatureStatistics.load(model / "statistics.safetensors")
    return {f"accuracy on {statistics.count:,} pictures of {metadata['data']}": metadata["accuracy"]}

"""What a run's own files say about the model that it made: the facts of its model card."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from vision.lora.adapters import LORA_FILE
from vision.metrics import FeatureStatistics
from vision.weights import weight_shapes

NOT_RECORDED = "not recorded"
NOT_MEASURED = "Not measured yet; measure with infer.compare."
#: What the hub files a model under, by the kind of the recipe that made it.
TASKS = {"base": "text-to-image", "cdm": "text-to-image", "classifier": "image-classification"}


def run_facts(run: Path, model: Path, target: Path) -> tuple[dict[str, Any], str]:
    """The facts of a model's card, and its task.

    Args:
        run: the run's folder, with ``recipe.yaml`` and, where its loop left by itself, ``sessions.jsonl``.
        model: folder of the model that the run made: a pipeline, a LoRA or a feature network.
        target: folder where a reader will find the model, for the call.

    Returns:
        facts for :func:`vision.distill.model_card.write_model_card`, quality not yet measured, and the task.

    Raises:
        ValueError: ``run`` is not a run's folder, or ``model`` is none of the three.
    """
    recipe, sessions = _recipe(run), _sessions(run)
    below_here = target.resolve().is_relative_to(Path.cwd())
    place = target.resolve().relative_to(Path.cwd()).as_posix() if below_here else target.name
    kind = recipe["recipe"]
    facts: dict[str, Any] = {
        "title": model_name(target),
        "summary": _summary(recipe, model),
        "call": _call(recipe, model, place),
        "data": _data(recipe),
        "configuration": without_folders(recipe),
        "seed": recipe["train"]["seed"],
        "code_version": _each(sessions, "code"),
        "quality": _accuracy(model) if kind == "classifier" else NOT_MEASURED,
        "license": "apache-2.0",
        "training": _training(recipe, sessions),
    }
    return facts, TASKS[kind]


def without_folders(value: Any) -> Any:
    """The same tree of values with each absolute path replaced by its last part that says something."""
    if isinstance(value, Mapping):
        return {key: without_folders(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(entry) for entry in value]
    if not isinstance(value, str) or not Path(value).is_absolute():
        return value
    return Path(value).relative_to(_telling(Path(value)).parent).as_posix()


def model_name(path: str | Path) -> str:
    """What a model is called, by the folder that it was loaded from: "student" of ``runs/student/final``."""
    return _telling(Path(path)).name


def _telling(path: Path) -> Path:
    return _telling(path.parent) if path.name in ("final", "transformer") else path


def _recipe(run: Path) -> dict[str, Any]:
    path = run / "recipe.yaml"
    if not path.is_file():
        raise ValueError(f"{run} is not a run's folder: it has no recipe.yaml; give what train.output named")
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(recipe, dict) or recipe.get("recipe") not in TASKS:
        raise ValueError(f"{path} is not a resolved recipe of {', '.join(TASKS)}; give a run's folder")
    return recipe


def _sessions(run: Path) -> list[dict[str, Any]]:
    path = run / "sessions.jsonl"
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSONL ({error}); restore it or remove it") from None


def _summary(recipe: dict[str, Any], model: Path) -> str:
    lora = recipe.get("lora")
    if recipe["recipe"] == "classifier":
        names = recipe["data"]["class_names"]
        return (
            f"A small classifier of {len(names)} kinds of pictures ({_parameters(model)} parameters): the "
            "Fréchet distance is measured in its features. Statistics of held-out pictures lie beside it. "
            "Distances in these features are comparable with each other, not with those in Inception's."
        )
    if recipe["recipe"] == "cdm":
        what = f"the adapter (LoRA, rank {lora['rank']}) that turns" if lora else "made from"
        made = f"{what} {model_name(recipe['teacher'])}"
        steps = recipe["preview"]["steps"]
        return (
            f"A text-to-image model of {steps} steps, {made}{' into it' if lora else ''} by continuous-time "
            "distribution matching (CDM, arXiv 2605.06376)."
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
        f"A text-to-image transformer of {_parameters(model / 'transformer')} parameters for pictures of "
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
    pipeline, extra, options = place, "", ""
    if (model / LORA_FILE).is_file():
        preview = recipe["preview"]
        pipeline = model_name(recipe["teacher"] if recipe["recipe"] == "cdm" else recipe["model"]["weights"])
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


def _data(recipe: dict[str, Any]) -> dict[str, Any]:
    if recipe["recipe"] == "cdm":
        return {
            "prompts": Path(recipe["prompts"]).name,
            "pictures": "none; the teacher is asked instead",
            "teacher": model_name(recipe["teacher"]),
        }
    shown: dict[str, Any] = {}
    for name, data in (("training", recipe["data"]), ("held out", recipe.get("held_out"))):
        if data is not None:
            files = [Path(data[key]).name for key in ("path", "labels_path") if data[key] is not None]
            shown[f"{name} pictures"] = f"{', '.join(files)} ({data['source']})"
    data = recipe["data"]
    shown["size"] = f"{data['height']} x {data['width']} pixels"
    if data["class_names"]:
        shown["classes"] = ", ".join(data["class_names"])
    if recipe["recipe"] == "base":
        shown["captions"] = ", ".join(f'"{template}"' for template in data["templates"])
    return shown


def _accuracy(model: Path) -> dict[str, Any]:
    statistics, metadata = FeatureStatistics.load(model / "statistics.safetensors")
    return {f"accuracy on {statistics.count:,} pictures of {metadata['data']}": metadata["accuracy"]}


def _training(recipe: dict[str, Any], sessions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    train = recipe["train"]
    shown: dict[str, Any] = {"iterations": train["steps"], "time": _time(train["steps"], sessions)}
    for name in ("device", "threads", "processes", "torch", "diffusers"):
        shown[name] = _each(sessions, name)
    return shown


def _time(steps: int, sessions: Sequence[dict[str, Any]]) -> str:
    """Time over all sessions, and whether they cover the run: a killed process leaves no record."""
    if not sessions:
        return NOT_RECORDED
    minutes, seconds = divmod(round(sum(session["seconds"] for session in sessions)), 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
    covered: set[int] = set()
    for session in sessions:
        covered.update(range(session["from_step"], session["to_step"]))
    missing = len(set(range(steps)) - covered)
    return f"{text}, without {missing:,} iterations of a killed process" if missing else text


def _each(sessions: Sequence[dict[str, Any]], name: str) -> str:
    values = dict.fromkeys(str(session[name]) for session in sessions)
    return ", then ".join(values) or NOT_RECORDED


def _parameters(folder: Path) -> str:
    count = sum(math.prod(shape) for shape in weight_shapes(folder).values())
    return f"{count / 1e6:.2f} million" if count >= 1e6 else f"{count:,}"

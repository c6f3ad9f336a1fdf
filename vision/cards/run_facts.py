"""What a run's own files say about the model that it made: the facts of its model card."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from vision.cards.autoencoder_card import autoencoder_facts
from vision.cards.dehaze_card import dehaze_adapter_facts, dehaze_facts, dehaze_full_facts
from vision.cards.methods import METHODS
from vision.cards.names import model_name, without_folders
from vision.cards.picture_card import family_of, picture_facts
from vision.cards.tryon_card import tryon_facts
from vision.cards.world_card import world_facts, world_student_facts

NOT_RECORDED = "not recorded"
#: What the hub files a model under, by the kind of the recipe that made it; None where it has no name.
TASKS: dict[str, str | None] = {
    "base": "text-to-image",
    "classifier": "image-classification",
    "autoencoder": None,
    "world": "image-to-video",
    "tryon": "video-to-video",
    "world_cdm": "image-to-video",
    "dehaze_pretrain": "image-to-image",
    "dehaze_adapt": "image-to-image",
    "dehaze_full": "image-to-image",
}
TASKS.update(dict.fromkeys(METHODS, "text-to-image"))
#: What a card says of a model besides its run, by the kind of its recipe; of all others it is about pictures.
_FACTS: dict[str, Callable[[dict[str, Any], Path, str], dict[str, Any]]] = {
    "autoencoder": autoencoder_facts,
    "world": world_facts,
    "tryon": tryon_facts,
    "world_cdm": world_student_facts,
    "dehaze_pretrain": dehaze_facts,
    "dehaze_adapt": dehaze_adapter_facts,
    "dehaze_full": dehaze_full_facts,
}


def run_facts(run: Path, model: Path, target: Path) -> tuple[dict[str, Any], str | None]:
    """The facts of a model's card, and its task.

    Args:
        run: the run's folder, with ``recipe.yaml`` and, where its loop left by itself, ``sessions.jsonl``.
        model: folder of the model that the run made: a pipeline, a LoRA, a feature network or an
            autoencoder.
        target: folder where a reader will find the model, for the call.

    Returns:
        facts for :func:`vision.cards.model_card.write_model_card`, quality not yet measured, and the task.

    Raises:
        ValueError: ``run`` is not a run's folder, or ``model`` is none of these.
    """
    recipe, sessions = _recipe(run), _sessions(run)
    below_here = target.resolve().is_relative_to(Path.cwd())
    place = target.resolve().relative_to(Path.cwd()).as_posix() if below_here else target.name
    kind, family = recipe["recipe"], family_of(model)
    facts: dict[str, Any] = {
        "title": model_name(target),
        **_FACTS.get(kind, picture_facts)(recipe, model, place),
        "configuration": without_folders(recipe),
        "seed": recipe["train"]["seed"],
        "code_version": _each(sessions, "code"),
        "license": "apache-2.0" if family is None else family.license,
        "training": _training(recipe, sessions),
    }
    return facts, TASKS[kind] if family is None else family.task


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

"""Which trainings the arms and seeds are, where they lie, and the clips that they are trained on."""

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.tryon.arms import BASE, MODULE, Arm
from benchmarks.tryon.settings import QUICK_CHANGES, Settings
from vision.latents import autoencoder_identity, load_autoencoder
from vision.latents.identity import hash_json
from vision.media.bad_item import BadItemError
from vision.tryon.index import INDEX_NAME, read_index, record_line
from vision.tryon.studio import draw
from vision.whole_file import written_aside

#: The kind of clips that all arms' common start is trained on.
START = "decoy"
#: The index of the same clips without their hands.
HANDLESS = "without_hands.jsonl"


def planned_tasks(
    arms: list[Arm], seeds: int, settings: Settings, options: argparse.Namespace
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What is run: the common start of all arms, and the arms, seed by seed.

    The start is the recipe without a guider and without captions of actions, on :data:`START`'s clips; each
    arm gives its weights a guider and goes on. Each task has a folder named by a hash of what it is made of:
    the recipe, what is changed in it, its clips, the autoencoder and the start. Where these lie is no part of
    it, so that a moved folder of runs is known again.

    Args:
        arms: which.
        seeds: how many, from 0.
        settings: what is trained and measured.
        options: of the command line.
    """
    recipe = (options.recipe or BASE).resolve()
    # A folder of the same name may hold another autoencoder.
    depends = [recipe.read_text(encoding="utf-8"), autoencoder_identity(load_autoencoder(options.vae))]
    unguided = {"guider": None, "data.actions": False, "train.steps": settings.start_steps}
    start = _task(Arm("start", "", START, unguided), 0, settings, options, recipe, depends, {})
    begun = Path(start["folder"])
    weights = {"model.weights": str(begun / "run" / "final" / "transformer")}
    further: dict[str, Any] = {"model.architecture": None, "model.vace_layers": None}
    if settings.steps is not None:
        further["train.steps"] = settings.steps
    tasks = [
        _task(
            replace(arm, changes=further | arm.changes),
            seed,
            settings,
            options,
            recipe,
            [*depends, begun.name],
            weights,
        )
        for seed in range(seeds)
        for arm in arms
    ]
    return start, tasks


def _task(
    arm: Arm,
    seed: int,
    settings: Settings,
    options: argparse.Namespace,
    recipe: Path,
    depends: list[str],
    places: dict[str, str],
) -> dict[str, Any]:
    studio = settings.studio(arm.condition)
    index = clips_folder(options.work, arm.condition, settings) / (INDEX_NAME if arm.hands else HANDLESS)
    places = {
        "model.vae": str(options.vae.resolve()),
        "data.path": str(index.resolve()),
        "cache": str(options.cache.resolve()),
        **places,
    }
    changes = {
        "data.frames": studio.frames,
        **(QUICK_CHANGES if settings.quick else {}),
        **arm.changes,
        "train.seed": seed,
    }
    key = hash_json([*depends, changes, asdict(studio), settings.train_clips, arm.hands])
    folder = (options.work / f"{arm.name}-{seed}-{key[:8]}").resolve()
    return {
        "arm": arm.name,
        "condition": arm.condition,
        "hands": arm.hands,
        "seed": seed,
        "module": MODULE,
        "recipe": str(recipe),
        "changes": {**places, **changes, "train.output": f"{folder}/run"},
        "folder": str(folder),
        "evaluations": str((options.work / "evaluations").resolve()),
        "truth": str(options.truth.resolve()),
        "settings": asdict(settings),
    }


def clips_folder(work: Path, condition: str, settings: Settings) -> Path:
    """Where the clips of a kind are."""
    key = hash_json([asdict(settings.studio(condition)), settings.train_clips])
    return work / "studio" / f"{condition}-{key[:8]}"


def draw_clips(arms: list[Arm], settings: Settings, options: argparse.Namespace) -> None:
    """Draws the clips that the arms and their start are trained on, unless they are there."""
    for condition in dict.fromkeys([START, *(arm.condition for arm in arms)]):
        folder = clips_folder(options.work, condition, settings)
        # Of ten clips the studio draws nine to train on.
        draw(folder, -(-10 * settings.train_clips // 9), settings.studio(condition), options.workers)
        lines = []
        for record in read_index(folder / INDEX_NAME):
            if isinstance(record, BadItemError):
                raise record
            lines.append(record_line(replace(record, hand=None)) + "\n")
        with written_aside(folder / HANDLESS) as aside:
            aside.write_text("".join(lines), encoding="utf-8")

"""Which trainings an arm and a seed are, and where they lie."""

import argparse
from typing import Any

from benchmarks.world.arms import BASES, MODULES, Arm, changes_of
from benchmarks.world.settings import QUICK_STEPS, Settings
from vision.latents import autoencoder_identity, load_autoencoder
from vision.latents.identity import hash_json


def planned_tasks(
    arms: list[Arm], seeds: int, settings: Settings, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """What is run, seed by seed; teachers before students.

    Each task has a folder named by a hash of the recipe, what the arm changes in it, and the autoencoder; a
    student's holds its teacher's folder.

    Args:
        arms: of which students have their teachers among them.
        seeds: how many, from 0.
        settings: what is measured.
        options: of the command line.
    """
    bases = {kind: getattr(options, f"{kind}_recipe") or path for kind, path in BASES.items()}
    paths = {"data.path": str(options.data.resolve()), "cache": str(options.cache.resolve())}
    further = {**paths, "model.vae": str(options.vae.resolve())}
    # A folder of the same name may hold another autoencoder.
    latents = autoencoder_identity(load_autoencoder(options.vae))
    tasks: list[dict[str, Any]] = []
    for seed in range(seeds):
        for arm in sorted(arms, key=lambda arm: arm.kind == "student"):
            recipe = bases[arm.kind]
            if arm.kind == "world":
                changes = changes_of(arm, recipe, further)
            else:
                # A student's key holds its teacher's, so that another teacher makes another student.
                teacher = next(t for t in tasks if t["arm"] == arm.teacher and t["seed"] == seed)
                changes = {**paths, **arm.changes, "teacher": f"{teacher['folder']}/run/final"}
            changes = {**changes, "train.seed": seed}
            if options.quick:
                changes["train.steps"] = QUICK_STEPS[arm.kind]
            text = recipe.read_text(encoding="utf-8")
            folder = (options.work / f"{arm.name}-{seed}-{hash_json([text, changes, latents])[:8]}").resolve()
            tasks.append(
                {
                    "arm": arm.name,
                    "kind": arm.kind,
                    "seed": seed,
                    "module": MODULES[arm.kind],
                    "recipe": str(recipe.resolve()),
                    "changes": {**changes, "train.output": f"{folder}/run"},
                    "folder": str(folder),
                    "evaluations": str((options.work / "evaluations").resolve()),
                    "truth": str(options.truth.resolve()),
                    "settings": settings.facts(),
                }
            )
    return tasks

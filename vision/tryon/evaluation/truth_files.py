"""Truth sets on disk: each clip is drawn once."""

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path

import torch

from vision.latents.identity import hash_json
from vision.latents.tensor_file import read_tensors, write_tensors
from vision.tryon.drawing.actions import Action, ClothState
from vision.tryon.drawing.canvas import Canvas
from vision.tryon.drawing.plan import TEST_EVERY, StudioPlan, planned_clips
from vision.tryon.evaluation.effect import Effect
from vision.tryon.evaluation.truth_clip import TruthClip, drawn_clip
from vision.tryon.evaluation.truth_settings import TruthSettings

_ARRAYS = tuple(field.name for field in fields(TruthClip) if field.name not in ("plan", "moved", "effects"))


class TruthSet:
    """The truth of the first test clips of a data set, in files named by the settings.

    Args:
        folder: of truth sets.
        settings: which clips.

    Attributes:
        settings: as given.
        folder: of the clips; a set with more clips holds one with fewer.
    """

    def __init__(self, folder: Path, settings: TruthSettings) -> None:
        self.settings = settings
        facts = {name: value for name, value in settings.facts().items() if name != "clips"}
        self.folder = folder / hash_json(facts)[:16]

    def __len__(self) -> int:
        return self.settings.clips

    def __iter__(self) -> Iterator[TruthClip]:
        """The clips in order, from their files or else drawn now and written there.

        Raises:
            ValueError: a damaged file.
        """
        studio = self.settings.studio
        canvas = Canvas(studio.height, studio.width)
        plans = planned_clips(TEST_EVERY * self.settings.clips, studio)
        for plan in islice(plans, TEST_EVERY - 1, None, TEST_EVERY):
            path = self.folder / f"{plan.id}.safetensors"
            if not path.is_file():
                _write(path, drawn_clip(plan, studio, canvas))
            yield _read(path)


def _write(path: Path, clip: TruthClip) -> None:
    tensors = {name: torch.from_numpy(getattr(clip, name)) for name in _ARRAYS}
    for number, effect in enumerate(clip.effects):
        tensors[f"pixels_{number}"] = torch.from_numpy(effect.pixels)
        tensors[f"templates_{number}"] = torch.from_numpy(effect.templates)
        tensors[f"levels_{number}"] = torch.from_numpy(effect.levels)
    write_tensors(path, tensors, {"plan": json.dumps(asdict(clip.plan)), "moved": json.dumps(clip.moved)})


def _read(path: Path) -> TruthClip:
    tensors, told = read_tensors(path)
    plan, moved = json.loads(told["plan"]), json.loads(told["moved"])
    sides = {
        name: {int(side): amount for side, amount in value.items()}
        for name, value in plan["start"].items()
        if name != "closed"
    }
    start = ClothState(plan["start"]["closed"], **sides)
    actions = tuple(Action(**action) for action in plan["actions"])
    return TruthClip(
        plan=StudioPlan(**{**plan, "start": start, "actions": actions}),
        moved=None if moved is None else (moved[0], (moved[1][0], moved[1][1])),
        effects=[
            Effect(*(tensors[f"{name}_{n}"].numpy() for name in ("pixels", "templates", "levels")))
            for n in range(len(actions))
        ],
        **{name: tensors[name].numpy() for name in _ARRAYS},
    )

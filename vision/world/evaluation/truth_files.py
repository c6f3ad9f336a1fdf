"""Truth sets on disk: each is played once."""

import json
from dataclasses import fields
from pathlib import Path

import torch

from vision.latents.identity import hash_json
from vision.latents.tensor_file import read_tensors, write_tensors
from vision.world.evaluation.truth_set import TruthSet
from vision.world.evaluation.truth_settings import TruthSettings


def truth_set(folder: Path, split: str, settings: TruthSettings) -> TruthSet:
    """The truth set of a split, from its file or else played now and written there.

    Args:
        folder: of such files; one is named by a hash of the settings and of the engine's versions.
        split: one of :data:`vision.world.clip_plan.SPLITS`.
        settings: how much is played.

    Raises:
        ValueError: as :func:`vision.world.evaluation.truth_player.played_truth`; a damaged file.
    """
    facts = settings.facts()
    path = folder / f"{split}-{hash_json(facts)[:16]}.safetensors"
    if path.is_file():
        tensors, _ = read_tensors(path)
        return TruthSet(**{field.name: tensors[field.name].numpy() for field in fields(TruthSet)})
    from vision.world.evaluation.truth_player import played_truth

    made = played_truth(split, settings)
    tensors = {field.name: torch.from_numpy(getattr(made, field.name)) for field in fields(TruthSet)}
    write_tensors(path, tensors, {"split": split, "settings": json.dumps(facts)})
    return made

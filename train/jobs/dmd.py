"""The run of a DMD recipe."""

from typing import ClassVar

from train.jobs.distillation import DistillationJob, Parts
from train.methods.dmd import DMD
from train.recipes.dmd import DMDRecipe


class DMDJob(DistillationJob[DMDRecipe]):
    """Distils ``recipe.teacher`` by matching its guided scores."""

    # Guidance asks for two predictions in one call.
    samples_at_once: ClassVar[dict[str, int]] = {"teacher": 2}

    def method(self, parts: Parts) -> DMD:
        return DMD(**parts.of_scores(), settings=self.recipe.dmd)

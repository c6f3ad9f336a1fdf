"""The run of a Decoupled DMD recipe."""

from typing import ClassVar

from train.jobs.distillation import DistillationJob, Parts
from train.methods.ddmd import DDMD
from train.recipes.ddmd import DDMDRecipe


class DDMDJob(DistillationJob[DDMDRecipe]):
    """Distils ``recipe.teacher`` by guidance and distribution matching."""

    # The guidance loss asks for two predictions in one call.
    samples_at_once: ClassVar[dict[str, int]] = {"teacher": 2}

    def method(self, parts: Parts) -> DDMD:
        return DDMD(**parts.of_scores(), settings=self.recipe.ddmd)

"""The run of a CDM recipe."""

from typing import ClassVar

from train.jobs.distillation import DistillationJob, Parts
from train.methods.cdm import CDM
from train.recipes.cdm import CDMRecipe


class CDMJob(DistillationJob[CDMRecipe]):
    """Distils ``recipe.teacher`` by continuous-time distribution matching."""

    # The student's update joins the anchor's input and the one off the trajectory in one call.
    samples_at_once: ClassVar[dict[str, int]] = {"student": 2, "teacher": 2}

    @property
    def asks_without_prompt(self) -> bool:
        return self.recipe.cdm.weight_guidance > 0

    def method(self, parts: Parts) -> CDM:
        return CDM(**parts.of_scores(), settings=self.recipe.cdm)

"""The run of a consistency recipe."""

import inspect
from typing import Any, ClassVar

from diffusers.schedulers.scheduling_flow_match_lcm import FlowMatchLCMScheduler

from train.jobs.distillation import DistillationJob, Parts
from train.methods.consistency import Consistency
from train.recipes.consistency import ConsistencyRecipe


class ConsistencyJob(DistillationJob[ConsistencyRecipe]):
    """Distils ``recipe.teacher`` by making its predictions along a trajectory agree."""

    samples_at_once: ClassVar[dict[str, int]] = {"teacher": 2}

    def method(self, parts: Parts) -> Consistency:
        return Consistency(
            parts.trained["student"],
            parts.teacher,
            settings=self.recipe.consistency,
            null_condition=parts.null_condition,
            shift=parts.shift,
        )

    def sampler(self, scheduler: Any) -> FlowMatchLCMScheduler:
        """The scheduler that answers each prediction with fresh noise: a consistent student predicts the end
        of the trajectory, so a step along the straight line to it would leave the trajectory."""
        known = inspect.signature(FlowMatchLCMScheduler.__init__).parameters
        config = {name: value for name, value in scheduler.config.items() if name in known}
        return FlowMatchLCMScheduler(**config)

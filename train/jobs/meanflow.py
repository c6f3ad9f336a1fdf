"""The run of a MeanFlow recipe."""

from typing import ClassVar

import torch
from torch import nn

from train.jobs.distillation import DistillationJob, Parts
from train.methods.meanflow import MeanFlow
from train.recipes.meanflow import MeanFlowRecipe
from vision.transformer import INTERVAL, VideoTransformer


class MeanFlowJob(DistillationJob[MeanFlowRecipe]):
    """Distils ``recipe.teacher`` into average velocities."""

    samples_at_once: ClassVar[dict[str, int]] = {"teacher": 2}

    def method(self, parts: Parts) -> MeanFlow:
        return MeanFlow(
            parts.trained["student"],
            parts.teacher,
            settings=self.recipe.meanflow,
            null_condition=parts.null_condition,
        )

    def extend(self, network: nn.Module) -> None:
        """The student is told the length of the step, whose embedding starts at zero."""
        if not isinstance(network, VideoTransformer):
            raise ValueError(
                "meanflow wants the length of a step in the network, for which a "
                f"{type(network).__name__} has no place; choose another teacher, or cdm"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.train.seed)
            network.add_conditioning(INTERVAL)

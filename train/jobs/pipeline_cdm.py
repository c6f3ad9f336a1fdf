"""What the runs that distil a system's own pipeline by CDM, a world's or a try-on's, have in common."""

from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from train.estimate import Estimate
from train.jobs.cdm import CDMJob
from train.jobs.job import Job
from train.jobs.networks import distillation_estimates, distillation_networks
from train.recipes.pipeline_cdm import PipelineCDMRecipe
from vision.distill.families.family import load_parameters
from vision.transformer import VideoTransformer

R = TypeVar("R", bound=PipelineCDMRecipe)


class PipelineCDMJob(Job[R]):
    """Distils the transformer of ``recipe.teacher``; exports a pipeline of few steps, without guidance.

    Attributes:
        pipeline_class: of teacher and student.
        unguided: the field of its configuration that turns guidance off, where it is 1.
    """

    pipeline_class: ClassVar[type[Any]]
    unguided: ClassVar[str]

    @property
    @abstractmethod
    def sequence(self) -> tuple[int, int]:
        """Tokens of a sample of the batch in one pass, and tokens of its prompt.

        Raises:
            ValueError: the recipe's size does not fit the teacher.
        """

    def estimates(self, processes: int, device: str) -> dict[str, Estimate]:
        sequence = self.sequence
        with torch.device("meta"):
            network: Any = VideoTransformer.from_config(self.teacher.transformer.config)
            networks = self.networks(network)
        return distillation_estimates(
            networks, sequence, CDMJob.samples_at_once, self.recipe.train, processes, device
        )

    def export(self, weights: dict[str, Tensor], folder: Path) -> str:
        # Loaded afresh: the loop has cast, compiled or sharded the teacher in place.
        pipeline = self._loaded()
        grid = self.recipe.grid
        pipeline.register_to_config(
            default_sigmas=grid, default_num_inference_steps=len(grid), **{self.unguided: 1.0}
        )
        load_parameters(pipeline.transformer, weights)
        pipeline.save_pretrained(folder)
        name = self.pipeline_class.__name__
        return f"loads with vision.{name}.from_pretrained and is drawn on its few-step grid"

    @cached_property
    def teacher(self) -> Any:
        """The teacher's pipeline in float32."""
        return self._loaded()

    def networks(self, transformer: nn.Module) -> dict[str, nn.Module]:
        """The trained networks by the recipe's names, copies of the transformer, and the teacher."""
        return distillation_networks(transformer, "full", None, self.recipe.networks, self.recipe.train.seed)

    @property
    def few_step(self) -> dict[str, Any]:
        """How previews are sampled, by the names of the pipeline's arguments."""
        return {"sigmas": self.recipe.grid, self.unguided.removeprefix("default_"): 1.0}

    def _loaded(self) -> Any:
        return self.pipeline_class.from_pretrained(self.recipe.teacher, dtype=torch.float32)

"""What adapting a dehazing network and training it on whole have in common."""

from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from train.data.batches import Batches
from train.data.haze_crops import HazeCrops
from train.data.haze_pictures import HazePictures, Sample
from train.data.order import EpochOrder
from train.jobs.dehaze_preview import cleared, shown_samples
from train.jobs.dehazers import check_crop, frozen_parts, load_dehazer, paired_objective
from train.jobs.haze_to_clear import unpaired_objective
from train.jobs.job import Job
from train.methods.dehaze_objectives import Objective
from train.methods.unpaired import Unpaired
from train.recipes.dehaze_adapt import HazeToClearRecipe, ShiftedRecipe
from vision.dehaze.memory_layout import lay_channels_last
from vision.dehaze.pipeline import DehazePipeline
from vision.processes import process_device

R = TypeVar("R", bound=ShiftedRecipe)
NETWORK = ShiftedRecipe.networks[0]


class ShiftedJob(Job[R]):
    """A run on pictures of another haze; parts are made when they are first asked for."""

    @cached_property
    def pipeline(self) -> DehazePipeline:
        """The base, on the run's device; its network is trained in place."""
        pipeline = load_dehazer(self.recipe.model)
        for part in (pipeline.network, pipeline.vae):
            if part is not None:
                torch.nn.Module.to(part.eval(), process_device())
        check_crop(pipeline, self.recipe.data.crop)
        lay_channels_last(pipeline.network)
        return pipeline

    @cached_property
    def before(self) -> list[Tensor]:
        """What the base makes of :attr:`samples`; to be asked for while it is the base."""
        return cleared(self.pipeline, self.samples)

    @cached_property
    def samples(self) -> list[Sample]:
        """Held-out pictures, for previews and measures."""
        data, preview = self.recipe.data, self.recipe.preview
        if data.held_out is None:
            return shown_samples(self.pictures, preview.pictures, preview.side)
        # Clear versions are shown and measured where they are, also of a loss that needs none.
        paired = self.paired or (Path(data.held_out) / "hazy").is_dir()
        pictures = HazePictures(data.held_out, paired, data.max_bad_share, data.video_every)
        return shown_samples(pictures, preview.pictures, preview.side)

    @cached_property
    def pictures(self) -> HazePictures:
        """What is trained on."""
        data = self.recipe.data
        return HazePictures(data.path, self.paired, data.max_bad_share, data.video_every)

    @property
    def paired(self) -> bool:
        return self.recipe.loss == "paired"

    @cached_property
    def crops(self) -> HazeCrops:
        """The pictures as the network sees them."""
        data = self.recipe.data
        return HazeCrops(self.pictures, data.crop, self.recipe.train.seed, data.turn)

    def batches(self) -> Batches:
        """All of the pictures."""
        return Batches(self.crops, EpochOrder(len(self.crops)), self.recipe.train.seed)

    @cached_property
    def objective(self) -> Objective:
        recipe, flow = self.recipe, self.pipeline.flow
        if self.paired:
            return paired_objective(self.pipeline, recipe.flow.start_share)
        return unpaired_objective(
            recipe.haze_to_clear or HazeToClearRecipe(),
            flow,
            (sample["hazy"].float() / 255 for sample in self.pictures),
            recipe.train.seed,
            recipe.data.max_bad_share,
        )

    @property
    def loss_name(self) -> str:
        """What the objective rests on, for reports."""
        objective = self.objective
        return objective.haze_to_clear.name if isinstance(objective, Unpaired) else "pairs"

    def frozen(self) -> dict[str, nn.Module]:
        """What the objective calls besides the network."""
        parts, objective = frozen_parts(self.pipeline), self.objective
        if isinstance(objective, Unpaired):
            parts["encoder"] = objective.haze_to_clear.direction.encoder
        return parts

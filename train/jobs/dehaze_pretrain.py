"""The run of a dehaze_pretrain recipe: pairs and a network put together."""

from contextlib import nullcontext
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from train.data.batches import Batches
from train.data.haze_crops import HazeCrops
from train.data.haze_pictures import HazePictures, Sample
from train.data.order import EpochOrder
from train.estimate import Estimate
from train.jobs.dehaze_preview import cleared, dehaze_preview, shown_samples, table_of, write_measures
from train.jobs.dehazers import (
    check_crop,
    estimated,
    frozen_parts,
    new_dehazer,
    paired_objective,
    wrapped,
)
from train.jobs.job import Job
from train.methods.dehazing import Dehazing
from train.previews import Preview
from train.processes import say
from train.recipes.dehaze_pretrain import DehazePretrainRecipe
from vision.dehaze.dea_net import DEANet
from vision.dehaze.memory_layout import lay_channels_last

NETWORK = DehazePretrainRecipe.networks[0]


class DehazePretrainJob(Job[DehazePretrainRecipe]):
    """Trains one network from pairs; exports a pipeline's folder."""

    def estimates(self, processes: int, device: str) -> dict[str, Estimate]:
        recipe = self.recipe
        is_new = recipe.model.weights is None and recipe.model.vae is None
        with torch.device("meta") if is_new else nullcontext():
            pipeline = new_dehazer(recipe.model, recipe.train.seed)
        check_crop(pipeline, recipe.data.crop)
        crop = recipe.data.crop
        return {NETWORK: estimated(pipeline.network, pipeline.flow, recipe.train, crop, processes, device)}

    def prepare(self) -> tuple[Dehazing, Batches, Preview | None]:
        recipe, data = self.recipe, self.recipe.data
        pipeline = new_dehazer(recipe.model, recipe.train.seed)
        check_crop(pipeline, data.crop)
        lay_channels_last(pipeline.network)
        pictures = HazePictures(data.path, True, data.max_bad_share)
        dataset = HazeCrops(pictures, data.crop, recipe.train.seed, data.turn)
        batches = Batches(dataset, EpochOrder(len(dataset)), recipe.train.seed)
        preview = None
        if recipe.train.preview_every:
            preview = dehaze_preview(pipeline, self._samples, NETWORK)
        objective = paired_objective(pipeline, recipe.flow.start_share)
        return Dehazing(pipeline.network, objective, frozen_parts(pipeline)), batches, preview

    def export(self, weights: dict[str, Tensor], folder: Path) -> str:
        pipeline = new_dehazer(self.recipe.model, self.recipe.train.seed)
        network = pipeline.network
        network.load_state_dict(weights)
        if isinstance(network, DEANet) and not network.config["reparameterized"]:
            pipeline = wrapped(network.fused(), self.recipe.model, None)
        pipeline.save_pretrained(folder)
        pipeline.network.eval()
        results = {"cleared": cleared(pipeline, self._samples)}
        say(table_of(write_measures(folder, self._samples, results, "pairs")))
        return "loads with vision.DehazePipeline.from_pretrained, and as --model of infer.dehaze"

    @cached_property
    def _samples(self) -> list[Sample]:
        data, preview = self.recipe.data, self.recipe.preview
        pictures = HazePictures(data.held_out or data.path, True, data.max_bad_share)
        return shown_samples(pictures, preview.pictures, preview.side)

"""The run of a dehaze_full recipe: all weights of a network, on another haze."""

from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from train.data.batches import Batches
from train.estimate import Estimate
from train.jobs.dehaze_preview import cleared, dehaze_preview, table_of, write_measures, write_sheet
from train.jobs.dehaze_shifted import NETWORK, ShiftedJob
from train.jobs.dehazers import estimated, load_dehazer
from train.methods.dehazing import Dehazing
from train.previews import Preview
from train.processes import say
from train.recipes.dehaze_adapt import DehazeFullRecipe
from vision.dehaze.own_network import OwnNetwork

WEIGHTS_FILE = "weights.safetensors"


class DehazeFullJob(ShiftedJob[DehazeFullRecipe]):
    """Trains a network on whole; exports a pipeline's folder, or the weights of a user's own network."""

    def estimates(self, processes: int, device: str) -> dict[str, Estimate]:
        recipe, pipeline = self.recipe, self.pipeline
        crop = recipe.data.crop
        return {NETWORK: estimated(pipeline.network, pipeline.flow, recipe.train, crop, processes, device)}

    def prepare(self) -> tuple[Dehazing, Batches, Preview | None]:
        batches, before = self.batches(), self.before
        say(f"loss: {self.loss_name}")
        preview = None
        if self.recipe.train.preview_every:
            preview = dehaze_preview(self.pipeline, self.samples, NETWORK, before)
        return Dehazing(self.pipeline.network, self.objective, self.frozen()), batches, preview

    def export(self, weights: dict[str, Tensor], folder: Path) -> str:
        before = self.before
        pipeline = load_dehazer(self.recipe.model)  # the trained one may be cast or sharded
        network = pipeline.network.eval()
        network.load_state_dict({**network.state_dict(), **weights})
        if isinstance(network, OwnNetwork):
            state = {name: value.contiguous() for name, value in network.network.state_dict().items()}
            save_file(state, folder / WEIGHTS_FILE)
            loads = (
                f"{WEIGHTS_FILE} loads as --weights of infer.dehaze, with --model {self.recipe.model.base}"
            )
        else:
            pipeline.save_pretrained(folder)
            loads = "loads with vision.DehazePipeline.from_pretrained, and as --model of infer.dehaze"
        results = {"base": before, "trained": cleared(pipeline, self.samples)}
        say(table_of(write_measures(folder, self.samples, results, self.loss_name)))
        write_sheet(folder, self.samples, results)
        return loads

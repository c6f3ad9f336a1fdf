"""The run of a dehaze_adapt recipe: the search for an adapter's places, and its training there."""

import shutil
from pathlib import Path

import torch
from torch import Tensor, nn

from train.data.batches import Batches
from train.estimate import Estimate
from train.jobs.adapter_search import AdapterSearch
from train.jobs.dehaze_preview import cleared, dehaze_preview, table_of, write_measures, write_sheet
from train.jobs.dehaze_shifted import NETWORK, ShiftedJob
from train.jobs.dehazers import estimated, load_dehazer
from train.methods.dehazing import Dehazing
from train.previews import Preview
from train.processes import failing_together, say
from train.recipes.dehaze_adapt import DehazeAdaptRecipe
from train.run_folder import RunFolder
from vision.cards.dehaze_card import ADAPTER_FILE
from vision.dehaze.adapter_change import warn_of_little_change
from vision.dehaze.pipeline import DehazePipeline
from vision.dehaze.search_space import search_space
from vision.flow.draws import Draws
from vision.lora import Candidate, discover, inject, load_gated
from vision.lora.adapters import LORA_FILE
from vision.processes import process_device


class DehazeAdaptJob(ShiftedJob[DehazeAdaptRecipe]):
    """Searches in :meth:`begin`, trains the kept candidates in the loop; exports adapter files."""

    def estimates(self, processes: int, device: str) -> dict[str, Estimate]:
        recipe, pipeline = self.recipe, self.pipeline
        # The search has all candidates, and so more than the training after it.
        inject(pipeline.lora_network, self._candidates(pipeline))
        crop = recipe.data.crop
        return {NETWORK: estimated(pipeline.network, pipeline.flow, recipe.train, crop, processes, device)}

    def begin(self, run: RunFolder) -> None:
        recipe = self.recipe
        with failing_together():
            search = AdapterSearch(run, recipe.search, recipe.train, recipe.model_dump(mode="json"))
        pipeline, _ = self.pipeline, self.before
        say(f"loss: {self.loss_name}")
        self._selected, self._final, self._gates = search.selected, run.final, search.picture
        if search.done:
            return
        for part in (pipeline.network, *self.frozen().values()):
            nn.Module.to(part, process_device())
            part.requires_grad_(False).eval()
        scale = recipe.search.alpha / recipe.search.rank
        lora = inject(pipeline.lora_network, self._candidates(pipeline), scale, seed=recipe.train.seed)
        search.run(lora, self._batch_loss, self.crops)

    def prepare(self) -> tuple[Dehazing, Batches, Preview | None]:
        pipeline = self.pipeline
        load_gated(pipeline.lora_network, self._selected)
        preview = None
        if self.recipe.train.preview_every:
            preview = dehaze_preview(pipeline, self.samples, NETWORK, self.before)
        return Dehazing(pipeline.network, self.objective, self.frozen()), self.batches(), preview

    def export(self, weights: dict[str, Tensor], folder: Path) -> str:
        before = self.before
        pipeline = load_dehazer(self.recipe.model)  # the trained one may be cast or sharded
        lora = load_gated(pipeline.lora_network, self._selected)
        own = dict(pipeline.network.named_parameters())
        with torch.no_grad():
            for name, value in weights.items():
                own[name].copy_(value)
        lora.record["loss"] = self.loss_name
        lora.save(folder / ADAPTER_FILE)
        try:
            lora.save(folder / LORA_FILE, "diffusers")
        except ValueError as error:
            say(f"{LORA_FILE} is left out: {error}")
        results = {"base": before, "adapted": cleared(pipeline, self.samples)}
        say(table_of(write_measures(folder, self.samples, results, self.loss_name)))
        warn_of_little_change(before, results["adapted"], ADAPTER_FILE)
        write_sheet(folder, self.samples, results)
        shutil.copyfile(self._gates, folder / self._gates.name)
        base = self.recipe.model
        own_weights = "" if base.weights is None else f" --weights {base.weights}"
        share = lora.cost / sum(p.numel() for n, p in own.items() if ".lora_" not in n)
        return (
            f"an adapter of {lora.cost:,} parameters ({share:.1%} of the base) at "
            f"{', '.join(candidate.name for candidate in lora.candidates)}\n"
            f"python -m infer.dehaze --model {base.base}{own_weights} --adapter {self._final / ADAPTER_FILE} "
            "--input PICTURES --output CLEAR"
        )

    def _candidates(self, pipeline: DehazePipeline) -> list[Candidate]:
        search, network = self.recipe.search, pipeline.lora_network
        spec = search_space(network) if search.candidates is None else search.candidates
        return discover(network, spec, search.rank, search.conv_form)

    def _batch_loss(self, batch: dict[str, Tensor], step: int) -> Tensor:
        # Both halves get the draws of their step, so that noise decides no order among candidates.
        train = self.recipe.train
        draws = Draws(train.seed, step, 0, train.batch_size)
        with torch.autocast(process_device().type, torch.bfloat16, enabled=train.mixed_precision == "bf16"):
            return self.objective(self.pipeline.network, batch, draws).value

"""The run of a classifier recipe, and the reference statistics of held-out pictures."""

from pathlib import Path

import torch
from torch import Tensor

from train.data.batches import Batches
from train.data.build import build_labelled, labelled_pixels
from train.data.item import Item
from train.estimate import Estimate, NetworkSize, estimate
from train.jobs.job import Job
from train.methods.classification import Classification
from train.processes import say
from train.recipes.classifier import ClassifierRecipe
from vision.metrics import FeatureNetwork, FeatureStatistics

NETWORK = ClassifierRecipe.networks[0]
BATCH_SIZE = 500


class FeaturesJob(Job[ClassifierRecipe]):
    """Trains the feature network; exports it with the statistics of ``held_out``'s pictures."""

    def estimates(self, processes: int, device: str) -> dict[str, Estimate]:
        size = NetworkSize.of(self._network())
        return {NETWORK: estimate(size, None, self.recipe.train, processes=processes)}

    def prepare(self) -> tuple[Classification, Batches, None]:
        batches = build_labelled(self.recipe.data, seed=self.recipe.train.seed)
        return Classification(self._network(), mirror=self.recipe.mirror), batches, None

    def export(self, weights: dict[str, Tensor], folder: Path) -> str:
        network = self._network()
        network.load_state_dict(weights)
        network.eval()
        statistics, accuracy = self._held_out(network)
        network.save_pretrained(folder)
        statistics.save(
            folder / "statistics.safetensors",
            {"data": Path(self.recipe.held_out.path).name, "accuracy": f"{accuracy:.4f}"},
        )
        say(f"accuracy on {statistics.count} held-out pictures: {accuracy:.4f}")
        return "loads with vision.metrics.FeatureNetwork.from_pretrained"

    def _network(self) -> FeatureNetwork:
        names = self.recipe.data.class_names
        assert names is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.train.seed)
            return FeatureNetwork(in_channels=self.recipe.channels, num_classes=len(names))

    @torch.no_grad()
    def _held_out(self, network: FeatureNetwork) -> tuple[FeatureStatistics, float]:
        held_out = labelled_pixels(self.recipe.held_out)
        statistics = FeatureStatistics(network.classifier.in_features)
        right = 0
        for start in range(0, len(held_out), BATCH_SIZE):
            items = [Item(i, i) for i in range(start, min(start + BATCH_SIZE, len(held_out)))]
            batch = held_out.batch(items)
            features, logits = network(batch["latents"][:, :, 0])
            statistics.update(features)
            right += int((logits.argmax(-1) == batch["label"]).sum())
        return statistics, right / statistics.count

"""Latents with the embeddings of their captions."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from train.data.encoded_prompts import EncodedPrompts
from train.data.item import Item
from train.data.latent_rows import LatentRows
from vision.flow.draws import keyed_generator


class CaptionedLatents:
    """Gives ``{"latents": (C, F, H, W)}`` and the tensors of its caption's embedding for each sample.

    A sample's caption may have several wordings; each visit draws one, by the item's position.

    Args:
        latents: one row a sample.
        prompts: embeddings of all wordings.
        wordings: numbers in ``prompts`` of each sample's wordings, shape (N, wordings).
        seed: the run's seed.
    """

    def __init__(self, latents: LatentRows, prompts: EncodedPrompts, wordings: np.ndarray, seed: int) -> None:
        assert len(wordings) == len(latents)
        self.latents, self.prompts, self.wordings, self.seed = latents, prompts, wordings, seed

    def __len__(self) -> int:
        return len(self.latents)

    def __getitem__(self, item: Item) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.batch([item]).items()}

    def batch(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """The samples of several items, batch first."""
        return {
            "latents": self.latents.batch([item.index for item in items]),
            **self.prompts.batch([self._wording(item) for item in items]),
        }

    def _wording(self, item: Item) -> int:
        choices = self.wordings[item.index]
        if len(choices) == 1:
            return int(choices[0])
        return int(choices[keyed_generator(self.seed, "wording", item.position).integers(len(choices))])

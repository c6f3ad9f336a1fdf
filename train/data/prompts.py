"""Prompts without pictures, as distillation wants them."""

from collections.abc import Sequence

from torch import Tensor

from train.data.encoded_prompts import EncodedPrompts
from train.data.item import Item


class Prompts:
    """Gives the named tensors of each prompt's embedding.

    Args:
        prompts: the embeddings, one sample each.
    """

    def __init__(self, prompts: EncodedPrompts) -> None:
        self.prompts = prompts

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, item: Item) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.batch([item]).items()}

    def batch(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """The samples of several items, batch first."""
        return self.prompts.batch([item.index for item in items])

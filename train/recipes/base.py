"""Recipe of train.base: flow-matching training of a video transformer."""

from typing import ClassVar, Literal

from pydantic import Field

from train.recipes.data import DataRecipe
from train.recipes.flow import FlowRecipe
from train.recipes.lora import LoRARecipe
from train.recipes.model import ModelRecipe
from train.recipes.preview import PreviewRecipe
from train.recipes.run import RunRecipe
from train.recipes.text import TextRecipe


class BaseRecipe(RunRecipe):
    """Trains a text-to-image transformer, new or from weights, whole or by LoRA."""

    networks: ClassVar[tuple[str, ...]] = ("model",)

    recipe: Literal["base"] = "base"
    """Says that this file is a recipe of train.base."""

    model: ModelRecipe
    """The network."""

    lora: LoRARecipe | None = None
    """Train this adapter and leave the weights as they are; null trains the weights."""

    data: DataRecipe
    """Pictures and captions."""

    text: TextRecipe = Field(default_factory=TextRecipe)
    """The prompt encoder."""

    flow: FlowRecipe = Field(default_factory=FlowRecipe)
    """Flow matching."""

    preview: PreviewRecipe = Field(default_factory=PreviewRecipe)
    """Pictures during training."""

    cache: str = "outputs/cache"
    """Folder of the cache of latents and prompt embeddings, shared between runs."""

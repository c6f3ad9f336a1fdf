"""Recipe of train.dehaze: a dehazing network from pairs."""

from typing import ClassVar, Literal

from pydantic import Field

from train.recipes.dehaze_data import DehazeDataRecipe, DehazePreviewRecipe
from train.recipes.dehaze_model import NewDehazerRecipe
from train.recipes.recipe import Recipe
from train.recipes.run import RunRecipe


class DehazeFlowRecipe(Recipe):
    """Times of the flow of a transformer; t = 1 is the hazy picture, where sampling begins."""

    start_share: float = Field(default=0.5, ge=0, le=1)
    """Share of samples at t = 1, the only time that a pipeline of one step sees; t of the others is even in
    [0, 1]."""


class DehazePretrainRecipe(RunRecipe):
    """Trains a dehazing network from pairs of hazy and clear pictures."""

    networks: ClassVar[tuple[str, ...]] = ("model",)

    recipe: Literal["dehaze_pretrain"] = "dehaze_pretrain"
    """Says that this file is a recipe of train.dehaze."""

    model: NewDehazerRecipe
    """The network."""

    data: DehazeDataRecipe
    """Pairs."""

    flow: DehazeFlowRecipe = Field(default_factory=DehazeFlowRecipe)
    """Loss of a transformer: mean squared error of its velocity. Other networks have L1 of pixels."""

    preview: DehazePreviewRecipe = Field(default_factory=DehazePreviewRecipe)
    """Previews."""

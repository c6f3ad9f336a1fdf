"""Recipes of train.dehaze that bring a trained network to another haze: by an adapter, or whole."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from train.recipes.dehaze_data import DehazeDataRecipe, DehazePreviewRecipe
from train.recipes.dehaze_model import BaseDehazerRecipe
from train.recipes.dehaze_pretrain import DehazeFlowRecipe
from train.recipes.recipe import Recipe, problem
from train.recipes.run import RunRecipe
from train.recipes.train import LearningRate


class HazeToClearRecipe(Recipe):
    """The haze-to-clear loss, which needs no clear versions of the pictures."""

    direction: Literal["text", "synthetic", "exemplar"] = "text"
    """Which way clear lies: text, by two prompts and CLIP (the paper's); synthetic, by haze added to clear
    pictures; exemplar, by clear pictures beside the hazy ones of data.path. The last two take
    EfficientNet (extra features) and stand in where there is no CLIP."""

    clip: str = "openai/clip-vit-base-patch32"
    """text: folder or hub name of a CLIP model."""

    domain: Literal["day", "night"] = "day"
    """text: which prompts."""

    clear: str | None = None
    """synthetic, exemplar: flat folder of clear pictures, not of the same scenes."""

    haze: Literal["grey", "coloured", "non-uniform", "camera", "shifted"] = "grey"
    """synthetic: kind of haze that is added, over an invented depth."""

    floor: float = Field(default=1e-3, ge=0)
    """Least length of the difference of embeddings that the loss divides by."""

    legacy_double_norm: bool = False
    """Normalise the input twice, as the released code does by mistake; for comparison alone."""

    guard: Annotated[float, Field(ge=0)] | None = None
    """Weight of the content guard, which says that the input must be the output under some haze; null is 10
    for a transformer, which could invent content, and 0 (none, as in the paper) for other networks."""

    guard_window: int = Field(default=15, ge=3)
    """Side in pixels of the windows in which the guard's haze is alike, odd."""

    @model_validator(mode="after")
    def _has_clear_pictures(self) -> "HazeToClearRecipe":
        if self.direction != "text" and self.clear is None:
            raise problem(f"direction is {self.direction}, which needs clear, a folder of clear pictures")
        if self.guard_window % 2 == 0:
            raise problem(f"guard_window is {self.guard_window}, expected an odd number such as 15")
        return self


class SearchRecipe(Recipe):
    """The bilevel search for the adapter's places (docs/lora_search.md)."""

    candidates: str | None = None
    """Preset or regular expression; null is dit-family for a transformer, the paper's 16 blocks for DEA-Net
    and conv-block for other networks."""

    rank: int = Field(default=8, ge=1)
    """Rank of each layer's update."""

    alpha: float = Field(default=16.0, gt=0)
    """The update is multiplied by alpha / rank, beside its gate."""

    conv_form: Literal["peft", "loralib"] = "peft"
    """Form of a convolution's update; loralib is the paper's."""

    hypergradient: Literal["rank_one", "first_order", "cg"] = "rank_one"
    """How the gates see that the weights follow them."""

    steps: int = Field(default=300, ge=1)
    """Steps on gates and weights, before the steps of the fine-tuning that train.steps counts."""

    gate_lr: LearningRate = 1e-2
    """Learning rate of the gates."""

    lr: LearningRate = 1e-3
    """Learning rate of the weights during the search."""

    k: int | None = Field(default=3, ge=1)
    """Candidates that are kept; null where the budget alone decides."""

    budget: int | None = Field(default=None, ge=1)
    """Parameters that the kept candidates may have in all."""

    score: Literal["zero_out", "keep_only", "gate_norm", "gate"] = "zero_out"
    """What a candidate is worth; gate is the paper's."""

    gate: Literal["keep", "freeze", "one"] = "keep"
    """What becomes of the kept gates: trained on, left at their value, or set to 1."""

    @model_validator(mode="after")
    def _something_is_kept(self) -> "SearchRecipe":
        if self.k is None and self.budget is None:
            raise problem("found neither k nor budget; give the number of candidates or of parameters")
        return self


class ShiftedRecipe(RunRecipe):
    """What both kinds have in common."""

    networks: ClassVar[tuple[str, ...]] = ("model",)

    model: BaseDehazerRecipe
    """The network."""

    data: DehazeDataRecipe
    """Pictures of the haze that it is brought to."""

    loss: Literal["haze_to_clear", "paired"] = "haze_to_clear"
    """haze_to_clear, from hazy pictures alone; paired, from pairs, as networks are trained at first."""

    haze_to_clear: HazeToClearRecipe | None = None
    """Settings of that loss; null takes CLIP's prompts of the day."""

    flow: DehazeFlowRecipe = Field(default_factory=DehazeFlowRecipe)
    """paired: times of a transformer's flow."""

    preview: DehazePreviewRecipe = Field(default_factory=DehazePreviewRecipe)
    """Previews, and what is measured before and after."""

    @model_validator(mode="after")
    def _settings_are_the_losss(self) -> "ShiftedRecipe":
        if self.loss == "paired" and self.haze_to_clear is not None:
            raise problem("found loss: paired and settings of haze_to_clear; leave out one of them")
        return self


class DehazeAdaptRecipe(ShiftedRecipe):
    """Finds the places of an adapter, trains it there, and leaves the network as it is."""

    recipe: Literal["dehaze_adapt"] = "dehaze_adapt"
    """Says that this file is a recipe of train.dehaze."""

    search: SearchRecipe = Field(default_factory=SearchRecipe)
    """The search, which comes first."""


class DehazeFullRecipe(ShiftedRecipe):
    """Trains all weights of a network on, for comparison with an adapter."""

    recipe: Literal["dehaze_full"] = "dehaze_full"
    """Says that this file is a recipe of train.dehaze."""

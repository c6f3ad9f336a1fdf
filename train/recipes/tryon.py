"""Recipe of train.tryon: interactive video try-on (iTryOn, arXiv 2605.21431)."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from train.recipes.lora import LoRARecipe
from train.recipes.recipe import Recipe, problem
from train.recipes.run import RunRecipe
from train.recipes.text import TextRecipe
from train.recipes.tryon_data import TryOnClipsRecipe, TryOnDataRecipe
from train.recipes.tryon_model import GuiderRecipe, TimingRecipe, TryOnModelRecipe


class TryOnFlowRecipe(Recipe):
    """Flow matching with the action-aware constraint. t = 1 is noise."""

    time_law: Literal["uniform", "logit_normal"] = "uniform"
    """Law of t before the shift."""

    mean: float = 0.0
    """logit_normal: mean of logit t."""

    std: float = Field(default=1.0, gt=0)
    """logit_normal: standard deviation of logit t."""

    shift: float = Field(default=5.0, gt=0)
    """Static time shift s: t becomes s t / (1 + (s - 1) t), in training and in the saved scheduler."""

    stratified: bool = False
    """One time in each of as many equal bins as the global batch has samples."""

    loss: Literal["velocity", "x0"] = "velocity"
    """What is compared: the velocity, or the clean latents that it implies (the same error times t^2)."""

    action_weight: float = Field(default=0.5, ge=0)
    """Weight of the second term, over the latent frames of actions alone; 0 is plain flow matching."""

    action_norm: Literal["all", "mask"] = "all"
    """What the second term is divided by: all elements, or those of actions."""

    prompt_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of samples that see the empty prompt, for guidance."""

    action_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of samples, drawn apart from these, whose actions have empty captions; segments stay."""


class TryOnPreviewRecipe(Recipe):
    """Clips drawn by the inference pipeline, each below the filmed one."""

    data: TryOnClipsRecipe | None = None
    """Samples that are drawn; null takes those of training."""

    clips: int = Field(default=4, ge=1)
    """How many of them, the first in order."""

    seed: int = Field(default=0, ge=0)
    """Seed of the noise."""

    columns: int = Field(default=8, ge=2)
    """Frames of a row, evenly spaced."""


class TryOnStepsRecipe(TryOnPreviewRecipe):
    """Clips of a model of many steps."""

    steps: int = Field(default=50, ge=1, le=1000)
    """Sampling steps, also what the saved pipeline takes by default."""

    guidance_scale: float = Field(default=5.0, ge=0)
    """Scale of guidance, also the saved pipeline's; 1 goes without."""


class TryOnRecipe(RunRecipe):
    """Trains a transformer that dresses a person in a video who handles the garment."""

    networks: ClassVar[tuple[str, ...]] = ("model",)

    recipe: Literal["tryon"] = "tryon"
    """Says that this file is a recipe of train.tryon."""

    model: TryOnModelRecipe
    """The network."""

    guider: GuiderRecipe | None = Field(default_factory=GuiderRecipe)
    """The guider that weights without one get; those that have one go on with theirs. Null for none."""

    timing: TimingRecipe = Field(default_factory=TimingRecipe)
    """How actions are tied to their time."""

    reference_padding: Literal["noised", "zeros"] = "noised"
    """What the network sees of the video at the garment's place: its latent, noised, or zeros."""

    trained: Literal["full", "guider_context", "guider", "lora"] = "full"
    """What learns: everything, guider and context blocks, the guider alone, or an adapter of all other blocks
    beside the guider, which the saved model has merged."""

    lora: LoRARecipe | None = None
    """The adapter of trained: lora; null takes its defaults."""

    data: TryOnDataRecipe
    """Clips with their conditions."""

    frame_rate: float = Field(default=16.0, gt=0)
    """Frames a second of the clips, which the saved pipeline keeps."""

    text: TextRecipe = Field(default_factory=TextRecipe)
    """Encoder of prompts and captions."""

    flow: TryOnFlowRecipe = Field(default_factory=TryOnFlowRecipe)
    """Flow matching."""

    preview: TryOnStepsRecipe = Field(default_factory=TryOnStepsRecipe)
    """Clips during training."""

    cache: str = "outputs/cache"
    """Folder of the cache of latents and embeddings, shared between runs."""

    @model_validator(mode="after")
    def _parts_are_there(self) -> "TryOnRecipe":
        if self.trained in ("guider_context", "guider") and self.guider is None:
            raise problem(f"trained is {self.trained}, but guider is null; give one or train another part")
        if self.lora is not None and self.trained != "lora":
            raise problem(f"found lora with trained: {self.trained}; say trained: lora, or leave it out")
        return self

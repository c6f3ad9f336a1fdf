"""Recipe of train.world: a first-person world that answers a gamepad (SCOPE, arXiv 2605.23345)."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from train.recipes.model import ModelRecipe
from train.recipes.recipe import Recipe, problem
from train.recipes.run import RunRecipe
from train.recipes.world_data import WorldDataRecipe


class WorldModelRecipe(ModelRecipe):
    """Either weights or architecture, and the autoencoder. Hub files are named owner/name/folder."""

    weights: str | None = None
    """Transformer in diffusers' layout to start from: a folder, or for instance owner/name/transformer."""

    vae: str | None = None
    """Video autoencoder with four frames a latent frame: a folder, or for instance owner/name/vae. Needed."""

    configurations: str | None = None
    """Folder with transformer/config.json and vae/config.json alone, which --dry-run reads in place of
    weights and autoencoder."""

    previous_frame: bool = False
    """Add to each token an embedding of the same place in the last frame before its chunk, of a world that is
    not causal in the first frame, beside what attention finds there; weights that have it keep it."""

    prompt: str | None = None
    """File of infer.encode_prompts; every clip has its first prompt. Null is one token of zeros."""

    @model_validator(mode="after")
    def _has_an_autoencoder(self) -> "WorldModelRecipe":
        if self.vae is None:
            raise problem("vae is missing; a world is trained on latents of a video autoencoder")
        return self


class ActionRecipe(Recipe):
    """How actions reach the network."""

    module: Literal["action", "action_adaln", "both"] = "action"
    """action: SCOPE's module in the blocks; action_adaln: through the modulation of every token alike; both:
    these two beside each other, the options being those of SCOPE's."""

    blocks: list[int] | None = None
    """action: numbers of the blocks that get one; null for all."""

    width: int | None = Field(default=None, ge=1)
    """Inner width; null takes the network's."""

    parallel: bool = False
    """action: sticks and buttons read the same tokens instead of one after the other."""

    null_key: bool = False
    """action: a learned key of value zero beside those of the buttons."""

    one_token_a_button: bool = False
    """action: one key a latent frame and button, instead of one a latent frame."""

    @model_validator(mode="after")
    def _options_are_the_modules(self) -> "ActionRecipe":
        if self.module == "action_adaln" and self.options.keys() - {"width"}:
            found = ", ".join(sorted(self.options.keys() - {"width"}))
            raise problem(f"{found} fits module action alone, and module is {self.module}")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """What differs from the module's defaults, by the names of its arguments."""
        return {name: value for name, value in self.model_dump(exclude={"module"}).items() if value}

    @property
    def modules(self) -> dict[str, dict[str, Any]]:
        """The registered names of what is added, with their options."""
        if self.module == "both":
            return {"action": self.options, "action_adaln": {}}
        return {self.module: self.options}


class CausalRecipe(Recipe):
    """Which latent frames see which, for a world that is made part by part."""

    chunk: int = Field(default=3, ge=1)
    """Latent frames that are made together and see each other; four frames of video each."""

    window: int | None = Field(default=None, ge=1)
    """Latent frames that a chunk sees, its own among them; null for all."""

    times: Literal["clip", "chunk", "clean_past"] = "clean_past"
    """clip: one training time for all frames; chunk: one for each chunk (diffusion forcing); clean_past:
    that, and each chunk sees those before it clean, as in a stream (teacher forcing), for twice the
    tokens."""

    past_noise: float = Field(default=0.0, ge=0, lt=1)
    """clean_past: the past holds noise up to this time, another amount a frame, which the network is not
    told; it learns to mend what it will make itself, so long plays drift less."""

    @model_validator(mode="after")
    def _noise_has_a_past(self) -> "CausalRecipe":
        if self.past_noise and self.times != "clean_past":
            raise problem(f"past_noise is {self.past_noise} with times {self.times}; it needs clean_past")
        return self

    @model_validator(mode="after")
    def _window_holds_a_chunk(self) -> "CausalRecipe":
        if self.window is not None and self.window < self.chunk:
            raise problem(f"window is {self.window}, shorter than a chunk of {self.chunk}; widen it")
        return self


class WorldFlowRecipe(Recipe):
    """Flow matching of all latent frames but the first, which is given. t = 1 is noise."""

    time_law: Literal["grid", "logit_normal"] = "grid"
    """Law of t: grid draws one of 1000 even times after the shift, logit_normal goes without the shift."""

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

    weighting: Literal["bell", "none"] = "bell"
    """Weight of the loss by t: bell is SCOPE's, largest at t = 0.5 and 0 at t = 1; none weighs all alike."""

    detail: float = Field(default=1.0, ge=0, le=1)
    """How much the latents' channels of faint detail count beside those that hold the picture: 1 as much, as
    their variances are made equal; 0 as much as the autoencoder itself gives them; between, in between."""

    action_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of samples whose whole action is the learned null action, for action guidance."""


class StripsRecipe(Recipe):
    """Strips of frames drawn by the inference pipeline, each above the frames that were recorded."""

    path: str | None = None
    """Folder of clips whose first frames and actions are taken; null takes data.path."""

    clips: int = Field(default=4, ge=1)
    """How many of them, the first in order."""

    seed: int = Field(default=0, ge=0)
    """Seed of the noise."""

    columns: int = Field(default=8, ge=2)
    """Frames of a strip, evenly spaced."""


class WorldPreviewRecipe(StripsRecipe):
    """Strips of a world of many steps."""

    steps: int = Field(default=30, ge=1, le=1000)
    """Sampling steps, also what the saved pipeline takes by default."""

    action_guidance_scale: float = Field(default=1.0, ge=0)
    """Scale of action guidance, also the saved pipeline's; 1 goes without."""


class WorldRecipe(RunRecipe):
    """Trains a transformer that shows what follows from a first frame and a gamepad."""

    networks: ClassVar[tuple[str, ...]] = ("model",)

    recipe: Literal["world"] = "world"
    """Says that this file is a recipe of train.world."""

    model: WorldModelRecipe
    """The network."""

    actions: ActionRecipe = Field(default_factory=ActionRecipe)
    """The module for actions; weights that have it go on with theirs, and then options are left out here."""

    causal: CausalRecipe | None = None
    """Block-causal attention, for streams; null lets all frames see each other, as in SCOPE."""

    data: WorldDataRecipe
    """Clips and their gamepad."""

    flow: WorldFlowRecipe = Field(default_factory=WorldFlowRecipe)
    """Flow matching."""

    preview: WorldPreviewRecipe = Field(default_factory=WorldPreviewRecipe)
    """Strips during training."""

    cache: str = "outputs/cache"
    """Folder of the cache of latents, shared between runs."""

"""Recipe of train.autoencoder: a causal video autoencoder for small first-person clips."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from train.recipes.clips import ClipsRecipe
from train.recipes.recipe import Recipe, problem
from train.recipes.run import RunRecipe


class AutoencoderShape(Recipe):
    """Config fields of TinyVideoAutoencoder."""

    latent_channels: int = Field(default=16, ge=1)
    """Channels of the latents."""

    widths: list[Annotated[int, Field(ge=1)]] = Field(default_factory=lambda: [64, 128], min_length=1)
    """Channels at each resolution; a latent is patch_size x 2^(number of widths - 1) pixels wide."""

    num_blocks: int = Field(default=2, ge=1)
    """Residual blocks at each resolution."""

    patch_size: int = Field(default=4, ge=1)
    """Side of the patches of pixels that the first convolution takes."""


class AutoencodingSettings(Recipe):
    """What is learned from a clip."""

    window: int = Field(default=17, ge=1)
    """Frames of a sample, 4n + 1, cut out of a clip at a drawn place."""

    gradient_weight: float = Field(default=0.25, ge=0)
    """Weight of the error of the differences between neighbouring pixels, which keeps edges sharp."""

    kl_weight: float = Field(default=3e-4, ge=0)
    """Weight of the latents' divergence from a standard normal, a mean over their numbers."""


class AutoencoderRecipe(RunRecipe):
    """Trains a causal video autoencoder, new or from weights."""

    networks: ClassVar[tuple[str, ...]] = ("autoencoder",)

    recipe: Literal["autoencoder"] = "autoencoder"
    """Says that this file is a recipe of train.autoencoder."""

    weights: str | None = None
    """Folder of a TinyVideoAutoencoder to go on from; null makes a new one of the shape."""

    shape: AutoencoderShape | None = None
    """Shape of a new autoencoder; null with weights, or for the default one."""

    data: ClipsRecipe
    """Clips."""

    autoencoding: AutoencodingSettings = Field(default_factory=AutoencodingSettings)
    """Samples and losses."""

    shown: int = Field(default=4, ge=1)
    """Held-out clips of a preview: a row of their frames above a row of their reconstruction."""

    columns: int = Field(default=8, ge=1)
    """Frames of each row of a preview."""

    cache: str = "outputs/cache"
    """Folder of the decoded frames, shared between runs."""

    @model_validator(mode="after")
    def _one_start(self) -> "AutoencoderRecipe":
        if self.weights is not None and self.shape is not None:
            raise problem("found both weights and shape; give one of the two")
        return self

    @model_validator(mode="after")
    def _frames_fit(self) -> "AutoencoderRecipe":
        window, frames = self.autoencoding.window, self.data.frames
        for name, found in (("autoencoding.window", window), ("data.frames", frames)):
            if found % 4 != 1:
                raise problem(f"{name} is {found}, expected 4n + 1, for instance {found // 4 * 4 + 1}")
        if window > frames:
            raise problem(f"autoencoding.window is {window}, expected at most data.frames = {frames}")
        return self

"""The networks of train.dehaze."""

from typing import Annotated

from pydantic import Field, model_validator

from train.recipes.architecture import ArchitectureRecipe
from train.recipes.recipe import Recipe, problem


class DEANetShape(Recipe):
    """Config fields of DEANet."""

    base_dim: int = Field(default=32, ge=2, multiple_of=2)
    """Channels at full size; 32 is the published network."""


class NewDehazerRecipe(Recipe):
    """What is trained from pairs: one of weights, dea_net and transformer."""

    weights: str | None = None
    """Folder of a DehazePipeline to go on from."""

    dea_net: DEANetShape | None = None
    """A new DEA-Net in its training form; it is saved re-parameterised."""

    transformer: ArchitectureRecipe | None = None
    """A new transformer that flows from hazy to clear pictures: in_channels is twice out_channels."""

    vae: str | None = None
    """transformer: folder or hub name of the autoencoder that makes its latents; null for pixels."""

    noise_std: Annotated[float, Field(ge=0)] = 0.25
    """transformer: deviation s of the noise on the hazy picture where the flow begins."""

    steps: int = Field(default=1, ge=1, le=4)
    """transformer: steps of the saved pipeline."""

    tile: int = Field(default=512, ge=8)
    """Side of the tiles of the saved pipeline in pixels."""

    overlap: int = Field(default=64, ge=4, multiple_of=4)
    """What the tiles share."""

    @model_validator(mode="after")
    def _one_start(self) -> "NewDehazerRecipe":
        found = [name for name in ("weights", "dea_net", "transformer") if getattr(self, name) is not None]
        if len(found) != 1:
            raise problem(
                f"found {' and '.join(found) or 'none'} of weights, dea_net and transformer; give one of them"
            )
        if self.vae is not None and self.transformer is None:
            raise problem(f"vae is {self.vae}, which only a new transformer takes; leave it out")
        return self


class BaseDehazerRecipe(Recipe):
    """The network that is adapted."""

    base: str
    """Folder or hub id of a DehazePipeline, or package.module:factory of your own network."""

    weights: str | None = None
    """Safetensors file of your own network's weights."""

    @model_validator(mode="after")
    def _weights_belong_to_a_factory(self) -> "BaseDehazerRecipe":
        if (":" in self.base) != (self.weights is not None):
            raise problem(
                f"base is {self.base} and weights {self.weights}; base: package.module:factory and weights "
                "belong together"
            )
        return self

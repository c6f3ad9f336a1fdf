"""The network that is trained: a new one, or one that goes on from weights."""

from pydantic import model_validator

from train.recipes.architecture import ArchitectureRecipe
from train.recipes.recipe import Recipe, problem


class ModelRecipe(Recipe):
    """Either weights or architecture."""

    weights: str | None = None
    """Folder of a transformer in diffusers' layout to start from."""

    architecture: ArchitectureRecipe | None = None
    """Shape of a new transformer with random weights."""

    vae: str | None = None
    """Folder or hub name of the autoencoder that makes the latents; null trains on pixels in [-1, 1]."""

    @model_validator(mode="after")
    def _one_start(self) -> "ModelRecipe":
        if (self.weights is None) == (self.architecture is None):
            found = "neither" if self.weights is None else "both"
            raise problem(f"found {found} of weights and architecture; give one of the two")
        return self

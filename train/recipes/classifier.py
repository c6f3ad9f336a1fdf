"""Recipe of train.features: the small feature network of the Fréchet distance."""

from typing import ClassVar, Literal

from pydantic import Field

from train.recipes.data import DataRecipe
from train.recipes.run import RunRecipe


class ClassifierRecipe(RunRecipe):
    """Trains a classifier of labelled pictures whose features measure the Fréchet distance."""

    networks: ClassVar[tuple[str, ...]] = ("classifier",)

    recipe: Literal["classifier"] = "classifier"
    """Says that this file is a recipe of train.features."""

    data: DataRecipe
    """Labelled pictures."""

    width: int = Field(default=32, ge=1)
    """Channels of the first convolution."""

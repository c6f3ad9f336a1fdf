"""Recipe of train.features: the small feature network of the Fréchet distance."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from train.recipes.data import DataRecipe
from train.recipes.recipe import problem
from train.recipes.run import RunRecipe


class ClassifierRecipe(RunRecipe):
    """Trains a classifier of labelled pictures whose features measure the Fréchet distance."""

    networks: ClassVar[tuple[str, ...]] = ("classifier",)

    recipe: Literal["classifier"] = "classifier"
    """Says that this file is a recipe of train.features."""

    data: DataRecipe
    """Labelled pictures to train on."""

    held_out: DataRecipe
    """Labelled pictures that give the accuracy and the reference statistics."""

    channels: int = Field(default=1, ge=1, le=4)
    """Channels of the pictures."""

    mirror: bool = True
    """Mirror half of the pictures in training; false where left and right mean something."""

    @model_validator(mode="after")
    def _pictures_are_labelled_alike(self) -> "ClassifierRecipe":
        for name, data in (("data", self.data), ("held_out", self.held_out)):
            if data.source != "idx":
                raise problem(f"{name}.source is {data.source}; a classifier needs labels, which idx has")
        if self.data.class_names != self.held_out.class_names:
            raise problem("data.class_names and held_out.class_names differ; give both the same list")
        for size in ("height", "width"):
            found = getattr(self.data, size), getattr(self.held_out, size)
            if found[0] != found[1]:
                raise problem(
                    f"data.{size} is {found[0]} and held_out.{size} is {found[1]}; expected one size"
                )
        return self

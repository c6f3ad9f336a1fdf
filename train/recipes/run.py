"""What an entry point of training runs."""

from typing import ClassVar

from pydantic import model_validator

from train.recipes.preview import PreviewRecipe
from train.recipes.recipe import Recipe, problem
from train.recipes.train import TrainRecipe

#: The entry point that runs a recipe, by the value of its key ``recipe``.
ENTRY_POINTS = {
    "base": "train.base",
    "cdm": "train.cdm",
    "world_cdm": "train.cdm",
    "ddmd": "train.distill",
    "dmd": "train.distill",
    "consistency": "train.distill",
    "meanflow": "train.distill",
    "classifier": "train.features",
    "autoencoder": "train.autoencoder",
    "world": "train.world",
    "tryon": "train.tryon",
    "dehaze_pretrain": "train.dehaze",
    "dehaze_adapt": "train.dehaze",
    "dehaze_full": "train.dehaze",
}


class RunRecipe(Recipe):
    """A whole recipe: the kind that its file names, the loop, and what the subclass adds.

    Attributes:
        networks: names of the networks that are trained, first the one that previews draw with.
    """

    networks: ClassVar[tuple[str, ...]]

    recipe: str
    """Kind of recipe, which says what entry point runs it."""

    train: TrainRecipe
    """The loop: length, optimizers, precision, checkpoints, reports."""

    @model_validator(mode="after")
    def _names_are_networks(self) -> "RunRecipe":
        for key, names in (("lr_of", self.train.lr_of), ("ema_of", self.train.ema_of or [])):
            for name in names:
                if name not in self.networks:
                    raise problem(
                        f"train.{key} names {name!r}, expected networks of this recipe: "
                        + ", ".join(self.networks)
                    )
        return self

    @model_validator(mode="after")
    def _previews_have_prompts(self) -> "RunRecipe":
        preview = getattr(self, "preview", None)
        if self.train.preview_every and isinstance(preview, PreviewRecipe) and not preview.prompts:
            raise problem(
                f"train.preview_every is {self.train.preview_every}, but preview.prompts is empty; "
                "give prompts, or train.preview_every: 0"
            )
        return self

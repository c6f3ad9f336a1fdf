"""Pictures that train.dehaze learns from."""

from pathlib import Path

from pydantic import Field, model_validator

from train.recipes.recipe import Recipe, problem


class DehazeDataRecipe(Recipe):
    """Pairs in RESIDE's layout, or hazy pictures alone; read once at the start, random crops after that."""

    path: str
    """Folder with hazy/ID_anything.png beside clear/ID.png (or gt/); without pairs, a flat folder of hazy
    pictures and videos."""

    held_out: str | None = None
    """The same of pictures that training does not see, for previews and measures; null shows those of
    path."""

    video_every: int = Field(default=25, ge=1)
    """Of hazy videos, every so many frames one is a picture."""

    crop: int = Field(default=64, ge=8)
    """Side of the crops in pixels."""

    turn: bool = True
    """Mirror crops and turn them by quarters, each as often."""

    max_bad_share: float = Field(default=0.01, ge=0, lt=1)
    """Share of unreadable pictures above which the run stops; each is reported by name."""

    @model_validator(mode="after")
    def _held_out_is_not_seen(self) -> "DehazeDataRecipe":
        if self.held_out is not None and Path(self.held_out).resolve() == Path(self.path).resolve():
            raise problem(
                f"held_out is path, {self.path}, so training would see it; give two folders such as train "
                "and test, or held_out: null"
            )
        return self


class DehazePreviewRecipe(Recipe):
    """Rows of pictures during training: hazy, before and after training, clear."""

    pictures: int = Field(default=4, ge=1)
    """How many of the held-out ones, evenly spaced; they are also what is measured."""

    side: int = Field(default=128, ge=16)
    """Side of the square that is cut out of the middle of each, in pixels."""

"""Clips of first-person play, or any videos."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from train.recipes.recipe import Recipe, problem


class ClipsRecipe(Recipe):
    """Which clips are read, and the size at which they are used."""

    layout: Literal["crossfps", "videos"] = "crossfps"
    """crossfps: folders with controls beside each video; videos: any folders with a video.mp4, as the try-on
    studio makes them."""

    path: str
    """Folder of clips, to train on."""

    held_out: str
    """Folder of clips that training does not see."""

    height: int = Field(default=64, ge=1)
    """Height in pixels; frames are scaled to cover the size, then cut."""

    width: int = Field(default=64, ge=1)
    """Width in pixels."""

    frames: int = Field(default=81, ge=1)
    """Frames that are used of a clip, at most: 4n + 1."""

    max_bad_share: float = Field(default=0.01, ge=0, lt=1)
    """Share of unusable clips above which the run stops; each is reported by name."""

    @model_validator(mode="after")
    def _held_out_is_not_seen(self) -> "ClipsRecipe":
        if Path(self.held_out).resolve().is_relative_to(Path(self.path).resolve()):
            raise problem(
                f"held_out is {self.held_out}, which lies in path, {self.path}, so training would "
                "see its clips; give two folders beside each other, such as train and test"
            )
        return self

"""Clips of a first-person game with their gamepad."""

from typing import Literal

from pydantic import Field, model_validator

from train.recipes.recipe import Recipe, problem


class WorldDataRecipe(Recipe):
    """Folders in the layout of CrossFPS, and the windows that are cut from them."""

    path: str
    """Folder of the clips, at any depth: video.mp4, actions_raw.parquet and metadata.json each."""

    height: int = Field(ge=1)
    """Height in pixels; a clip is scaled to cover the size and its centre is cut out."""

    width: int = Field(ge=1)
    """Width in pixels."""

    frames: int = Field(default=81, ge=5)
    """Frames of a sample, 4n + 1."""

    stride: int | None = Field(default=None, ge=4, multiple_of=4)
    """Frames from one window of a clip to the next; null takes the first window alone, as SCOPE does."""

    clip_frames: int | None = Field(default=None, ge=5)
    """Frames of a clip that windows are cut from, 4n + 1; null means data.frames."""

    frame_rate: float = Field(default=20.0, gt=0)
    """Frames a second of the clips, which the saved pipeline keeps."""

    forward_sign: Literal[-1, 1] = -1
    """Sign of the left stick's Y that walks forward in the tables."""

    max_bad_share: float = Field(default=0.01, ge=0, lt=1)
    """Share of unusable clips above which the run stops; each is reported by name."""

    @model_validator(mode="after")
    def _frames_fit_latents(self) -> "WorldDataRecipe":
        for name in ("frames", "clip_frames"):
            found = getattr(self, name)
            if found is not None and found % 4 != 1:
                raise problem(
                    f"{name} is {found}; latents hold the first frame alone and then groups of four, so give "
                    f"4n + 1, such as {found // 4 * 4 + 1}"
                )
        if self.clip_frames is not None and self.clip_frames < self.frames:
            raise problem(
                f"clip_frames is {self.clip_frames}, less than the {self.frames} frames of a sample"
            )
        if self.clip_frames is not None and self.clip_frames > self.frames and self.stride is None:
            raise problem("clip_frames leaves room for more windows than one; give stride too")
        return self

    @property
    def used_frames(self) -> int:
        """Frames that are used of a clip."""
        return self.frames if self.clip_frames is None else self.clip_frames

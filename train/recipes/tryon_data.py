"""Clips of people who handle a garment, with their conditions."""

from pydantic import Field, model_validator

from train.recipes.recipe import Recipe, problem


class TryOnClipsRecipe(Recipe):
    """Where samples are: an index (meta.jsonl), or a list of ViViD."""

    path: str
    """Folder of the data set, or an index; with a list the folder of ViViD's parts."""

    list: str | None = None
    """List of ViViD as CatV2TON lays it out (docs/tryon.md); null reads an index."""

    split: str | None = None
    """Samples of an index that are taken; null takes all."""

    mask_inverted: bool = False
    """Masks of a list are black where pixels are to be generated."""

    @model_validator(mode="after")
    def _lists_have_no_split(self) -> "TryOnClipsRecipe":
        if self.list is not None and self.split is not None:
            raise problem(f"split is {self.split!r}, but a list has no splits; give another list instead")
        if self.mask_inverted and self.list is None:
            raise problem("mask_inverted goes with a list; masks of an index are white where made")
        return self


class TryOnDataRecipe(TryOnClipsRecipe):
    """Samples and the windows that are cut from them."""

    height: int = Field(ge=1)
    """Height in pixels; videos are scaled to cover the size and their centre is cut out, all conditions
    alike. The garment is shown whole."""

    width: int = Field(ge=1)
    """Width in pixels."""

    frames: int = Field(default=81, ge=5)
    """Frames of a sample, 4n + 1; actions are timed by its first frame."""

    stride: int | None = Field(default=None, ge=4, multiple_of=4)
    """Frames from one window of a clip to the next; null takes the first window alone."""

    flip: bool = False
    """Every second visit or so shows a sample in the mirror, with all its conditions; "left" and "right" of
    captions are exchanged."""

    actions: bool = True
    """Actions are named. False leaves all captions of actions empty: the first stage of iTryOn."""

    max_bad_share: float = Field(default=0.01, ge=0, lt=1)
    """Share of unusable samples above which the run stops; each is reported by name."""

    @model_validator(mode="after")
    def _frames_fit_latents(self) -> "TryOnDataRecipe":
        if self.frames % 4 != 1:
            raise problem(
                f"frames is {self.frames}; latents hold the first frame alone and then groups of four, so "
                f"give 4n + 1, such as {self.frames // 4 * 4 + 1}"
            )
        return self

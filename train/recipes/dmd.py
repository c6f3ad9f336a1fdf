"""Recipe of DMD (arXiv 2311.18828)."""

from typing import Literal

from pydantic import Field

from train.recipes.distillation import ScoreRecipe
from train.recipes.score_settings import ScoreSettings


class DMDSettings(ScoreSettings):
    """The method's options."""

    fixed_grid: list[float] = Field(default_factory=lambda: [1.0, 0.75, 0.5, 0.25])
    """Sigmas of every rollout before the shift, falling from 1."""

    guidance_scale: float = Field(default=7.0, ge=1)
    """Scale of classifier-free guidance of the teacher; 1 is none. It is one more than the guidance_scale of
    ddmd and cdm, which counts what guidance adds."""


class DMDRecipe(ScoreRecipe):
    """Distils a many-step pipeline by matching its guided scores on one grid; it needs no pictures."""

    recipe: Literal["dmd"] = "dmd"
    """Says that this file is a recipe of DMD."""

    dmd: DMDSettings = Field(default_factory=DMDSettings)
    """The method."""

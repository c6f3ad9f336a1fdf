"""Recipe of Decoupled DMD (arXiv 2511.22677)."""

from typing import Literal

from pydantic import Field

from train.recipes.distillation import ScoreRecipe
from train.recipes.score_settings import ScoreSettings, TimeLaw


class DDMDSettings(ScoreSettings):
    """The method's options."""

    fixed_grid: list[float] = Field(default_factory=lambda: [1.0, 0.75, 0.5, 0.25])
    """Sigmas of every rollout before the shift, falling from 1."""

    guidance_scale: float = Field(default=7.0, ge=0)
    """Weight of the teacher's conditional minus unconditional prediction in the guidance loss (CA)."""

    guidance_time_law: TimeLaw = "uniform_capped"
    """Law of the time at which the guidance loss asks the teacher; capped is at most the anchor's sigma."""


class DDMDRecipe(ScoreRecipe):
    """Distils a many-step pipeline by guidance and distribution matching on one grid. It needs prompts, no
    pictures."""

    recipe: Literal["ddmd"] = "ddmd"
    """Says that this file is a recipe of Decoupled DMD."""

    ddmd: DDMDSettings = Field(default_factory=DDMDSettings)
    """The method."""

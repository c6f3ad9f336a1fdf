"""Recipe of consistency distillation (arXiv 2303.01469, 2310.04378)."""

from typing import Literal

from pydantic import Field

from train.recipes.distillation import PictureRecipe
from train.recipes.recipe import Recipe


class ConsistencySettings(Recipe):
    """The method's options. Times are in [0, 1], 1 is noise."""

    num_scales: int = Field(default=50, ge=2)
    """Steps of the teacher's grid, whose neighbouring points are made consistent."""

    guidance_scale: float = Field(default=7.0, ge=1)
    """Scale of classifier-free guidance in the teacher's step; 1 is none."""

    shift: float | None = Field(default=None, gt=0)
    """Static time shift of the grid; null takes the teacher's scheduler's."""

    huber: float = Field(default=0.001, ge=0)
    """Constant c of the pseudo-Huber loss sqrt(d^2 + c^2 n) - c sqrt(n) of n elements; 0 is the norm."""


class ConsistencyRecipe(PictureRecipe):
    """Distils a many-step pipeline by making its predictions along a trajectory agree. It needs pictures."""

    recipe: Literal["consistency"] = "consistency"
    """Says that this file is a recipe of consistency distillation."""

    consistency: ConsistencySettings = Field(default_factory=ConsistencySettings)
    """The method."""

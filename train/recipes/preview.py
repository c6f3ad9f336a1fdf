"""The pictures that are drawn during training."""

from itertools import pairwise

from pydantic import Field, model_validator

from train.recipes.recipe import Recipe, problem


class PreviewRecipe(Recipe):
    """Pictures drawn by the inference pipeline with the same noise each time, as one grid."""

    prompts: list[str] = Field(default_factory=list)
    """Prompts, one picture each."""

    steps: int = Field(default=50, ge=1, le=1000)
    """Network evaluations of a picture (twice as many with guidance)."""

    sigmas: list[float] | None = None
    """Noise levels before the time shift, falling from 1, one a step; null spaces them evenly."""

    guidance_scale: float = Field(default=1.0, ge=0)
    """Scale of classifier-free guidance; 1 goes without."""

    seed: int = Field(default=0, ge=0)
    """Seed of the noise."""

    columns: int = Field(default=8, ge=1)
    """Pictures in a row of the grid."""

    @model_validator(mode="after")
    def _one_sigma_a_step(self) -> "PreviewRecipe":
        if self.sigmas is not None:
            check_sigmas(self.sigmas, "sigmas")
            if len(self.sigmas) != self.steps:
                raise problem(
                    f"sigmas has {len(self.sigmas)} values and steps is {self.steps}; "
                    "give one a step, or sigmas: null"
                )
        return self


def check_sigmas(sigmas: list[float], name: str) -> None:
    """Raises unless ``sigmas`` fall strictly from 1 and stay above 0."""
    falling = all(a > b for a, b in pairwise(sigmas))
    if not sigmas or sigmas[0] != 1 or not falling or sigmas[-1] <= 0:
        raise problem(f"{name} is {sigmas}; expected noise levels that fall strictly from 1 and stay above 0")

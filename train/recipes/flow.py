"""Flow matching: which times are drawn, and how often the prompt is left out."""

from typing import Literal

from pydantic import Field

from train.recipes.recipe import Recipe


class FlowRecipe(Recipe):
    """Law of the training time t (t = 1 is noise) and the dropout of the prompt."""

    time_law: Literal["uniform", "logit_normal"] = "uniform"
    """Law of t before the shift."""

    mean: float = 0.0
    """logit_normal: mean of logit t."""

    std: float = Field(default=1.0, gt=0)
    """logit_normal: standard deviation of logit t."""

    shift: float = Field(default=1.0, gt=0)
    """Static time shift s: t becomes s t / (1 + (s - 1) t), in training and in the saved scheduler."""

    stratified: bool = False
    """One time in each of as many equal bins as the global batch has samples."""

    prompt_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of samples that see the empty prompt, for classifier-free guidance."""

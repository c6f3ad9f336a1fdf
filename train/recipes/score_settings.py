"""What every method that matches the scores of teacher and student has as options."""

from typing import Literal

from pydantic import Field, model_validator

from train.recipes.preview import check_sigmas
from train.recipes.recipe import Recipe, problem

TimeLaw = Literal["uniform", "uniform_capped", "logit_normal"]


class ScoreSettings(Recipe):
    """Options of rollout, fake score and distribution matching.

    Times are in [0, 1], 1 is noise. A sigma before the shift is what a pipeline takes as ``sigmas``.
    """

    fixed_grid: list[float] | None = Field(default_factory=lambda: [1.0, 0.75, 0.5, 0.25])
    """Sigmas of every rollout before the shift, falling from 1."""

    shift: float | None = Field(default=None, gt=0)
    """Static time shift of the rollout; null takes the teacher's scheduler's."""

    time_min: float = Field(default=0.02, ge=0, lt=1)
    """Times that are drawn for losses are clamped to at least this."""

    time_max: float = Field(default=0.98, gt=0, le=1)
    """Times that are drawn for losses are clamped to at most this."""

    min_norm: float = Field(default=0.1, gt=0)
    """Lower bound of the gradient normaliser, the mean distance between teacher and student predictions."""

    norm_over: Literal["sample", "batch"] = "sample"
    """Whether each sample has its own gradient normaliser or the micro-batch has one."""

    student_every: int = Field(default=2, ge=1)
    """The student is updated in each so-many-th iteration, the fake score in every one."""

    fake_merge: float = Field(default=0.999, ge=0, le=1)
    """After an update the fake score becomes this share of itself plus the rest of the student; with memory:
    lora_fake, where the two have no weights in common, the default is 1."""

    anchor_aware: bool = False
    """Tell the fake score the sigma of the anchor, through an embedding that begins at zero."""

    matching_time_law: TimeLaw = "uniform"
    """Law of the time at which distribution matching asks teacher and fake score."""

    fake_time_law: TimeLaw = "uniform"
    """Law of the time at which the fake score is trained."""

    fake_loss: Literal["velocity", "x0"] = "velocity"
    """What the fake score's loss compares: the velocity, or the clean latents that it implies (the same error
    times t^2), which a teacher that predicts these (prediction_type: sample) needs."""

    double_matching: bool = False
    """Draw distribution matching at the anchor twice and add both: the control that costs about as much as
    CDM."""

    @model_validator(mode="after")
    def _ranges_are_ranges(self) -> "ScoreSettings":
        check_range(self, "time_min", "time_max")
        if self.fixed_grid is not None:
            check_sigmas(self.fixed_grid, "fixed_grid")
        return self


def check_range(settings: Recipe, low: str, high: str) -> None:
    """An error unless the value of the first key is below that of the second."""
    found = getattr(settings, low), getattr(settings, high)
    if found[0] >= found[1]:
        raise problem(f"{low} is {found[0]} and {high} is {found[1]}; expected the first below the second")

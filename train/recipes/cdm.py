"""Recipe of train.cdm: continuous-time distribution matching (arXiv 2605.06376)."""

from typing import Literal

from pydantic import Field, model_validator

from train.recipes.distillation import ScoreRecipe
from train.recipes.recipe import problem
from train.recipes.score_settings import ScoreSettings, TimeLaw, check_range


class CDMSettings(ScoreSettings):
    """The method's options. The defaults are those of the published runs.

    Times are in [0, 1], 1 is noise. A sigma before the shift is what a pipeline takes as ``sigmas``.
    """

    guidance_scale: float = Field(default=7.0, ge=0)
    """Weight of the teacher's conditional minus unconditional prediction in the guidance loss (CA)."""

    max_rollout_steps: int = Field(default=28, ge=1)
    """Largest number of steps of the student's rollout; each run of it draws 1 to this many."""

    sigma_low: float = Field(default=0.25, ge=0, lt=1)
    """Lower end of the drawn sigmas of the rollout, before the shift; the first is always 1."""

    sigma_high: float = Field(default=0.95, gt=0, le=1)
    """Upper end of the drawn sigmas of the rollout, before the shift."""

    stratified: bool = False
    """Draw the rollout's sigmas one in each of as many equal bins instead of independently."""

    fixed_grid: list[float] | None = None
    """Sigmas of every rollout before the shift, for instance [1, 0.75, 0.5, 0.25]; null draws them anew."""

    weight_guidance: float = Field(default=1.0, ge=0)
    """Weight of the guidance loss (CA); 0 leaves it out."""

    weight_matching: float = Field(default=1.0, ge=0)
    """Weight of distribution matching at the anchor (DM); 0 leaves it out."""

    weight_off_trajectory: float = Field(default=1.0, ge=0)
    """Weight of distribution matching off the trajectory (CDM); 0 leaves it out."""

    student_input: Literal["trajectory_eps", "trajectory_xt", "fresh", "trajectory_eps_last"] = (
        "trajectory_eps"
    )
    """Student input of the off-trajectory loss: the anchor moved along the student's velocity, the anchor
    itself, the teacher_base with fresh noise, or the last anchor moved."""

    teacher_base: Literal["student_pred", "x0_final", "x0_next"] = "student_pred"
    """What is noised for the teacher in the off-trajectory loss: the student's prediction, the end of the
    rollout, or the prediction of the anchor's step in the rollout."""

    teacher_input: Literal["fresh_independent", "fresh_shared_t", "share_student"] = "fresh_independent"
    """Noise of the teacher's input in the off-trajectory loss: own time and noise, the student's time with
    own noise, or the student's input."""

    guidance_time_law: TimeLaw = "uniform_capped"
    """Law of the time at which the guidance loss asks the teacher; capped is at most the anchor's sigma."""

    off_trajectory_time_law: TimeLaw = "uniform"
    """Law of both times of the off-trajectory loss."""

    fake_on_off_trajectory: float = Field(default=0.0, ge=0, le=1)
    """Share of the fake score's data that are predictions off the trajectory."""

    @model_validator(mode="after")
    def _student_has_a_loss(self) -> "CDMSettings":
        check_range(self, "sigma_low", "sigma_high")
        if self.weight_guidance == self.weight_matching == self.weight_off_trajectory == 0:
            raise problem("all three weights are 0, so the student has no loss; set one above 0")
        return self


class CDMRecipe(ScoreRecipe):
    """Distils a many-step text-to-image pipeline into one of few steps. It needs prompts, no pictures."""

    recipe: Literal["cdm"] = "cdm"
    """Says that this file is a recipe of train.cdm."""

    cdm: CDMSettings = Field(default_factory=CDMSettings)
    """The method."""

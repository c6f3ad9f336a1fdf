"""Recipe of train.cdm: continuous-time distribution matching (arXiv 2605.06376)."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from train.recipes.lora import LoRARecipe
from train.recipes.preview import PreviewRecipe, check_sigmas
from train.recipes.recipe import Recipe, problem
from train.recipes.run import RunRecipe

TimeLaw = Literal["uniform", "uniform_capped", "logit_normal"]


class CDMSettings(Recipe):
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

    weight_guidance: float = Field(default=1.0, ge=0)
    """Weight of the guidance loss (CA); 0 leaves it out."""

    weight_matching: float = Field(default=1.0, ge=0)
    """Weight of distribution matching at the anchor (DM); 0 leaves it out."""

    weight_off_trajectory: float = Field(default=1.0, ge=0)
    """Weight of distribution matching off the trajectory (CDM); 0 leaves it out."""

    student_every: int = Field(default=2, ge=1)
    """The student is updated in each so-many-th iteration, the fake score in every one."""

    fake_merge: float = Field(default=0.999, ge=0, le=1)
    """After an update the fake score becomes this share of itself plus the rest of the student."""

    anchor_aware: bool = False
    """Tell the fake score the sigma of the anchor, through an embedding that begins at zero."""

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

    matching_time_law: TimeLaw = "uniform"
    """Law of the time at which distribution matching asks teacher and fake score."""

    off_trajectory_time_law: TimeLaw = "uniform"
    """Law of both times of the off-trajectory loss."""

    fake_time_law: TimeLaw = "uniform"
    """Law of the time at which the fake score is trained."""

    fake_on_off_trajectory: float = Field(default=0.0, ge=0, le=1)
    """Share of the fake score's data that are predictions off the trajectory."""

    double_matching: bool = False
    """Draw distribution matching at the anchor twice and add both: with weight_off_trajectory 0, the control
    of the ablations that costs as much as CDM."""

    @model_validator(mode="after")
    def _ranges_are_ranges(self) -> "CDMSettings":
        for low, high in (("sigma_low", "sigma_high"), ("time_min", "time_max")):
            found = getattr(self, low), getattr(self, high)
            if found[0] >= found[1]:
                raise problem(
                    f"{low} is {found[0]} and {high} is {found[1]}; expected the first below the second"
                )
        if self.fixed_grid is not None:
            check_sigmas(self.fixed_grid, "fixed_grid")
        if self.weight_guidance == self.weight_matching == self.weight_off_trajectory == 0:
            raise problem("all three weights are 0, so the student has no loss; set one above 0")
        return self


class FewStepPreviewRecipe(PreviewRecipe):
    """Pictures of the few-step student."""

    steps: int = Field(default=4, ge=1, le=1000)
    """Network evaluations of a picture."""

    sigmas: list[float] | None = Field(default_factory=lambda: [1.0, 0.75, 0.5, 0.25])
    """Noise levels before the time shift, falling from 1, one a step; null spaces them evenly. The student's
    pipeline keeps them as its default."""


class CDMRecipe(RunRecipe):
    """Distils a many-step text-to-image pipeline into one of few steps. It needs prompts, no pictures."""

    networks: ClassVar[tuple[str, ...]] = ("student", "fake")

    recipe: Literal["cdm"] = "cdm"
    """Says that this file is a recipe of train.cdm."""

    teacher: str
    """Folder of the pipeline that is distilled."""

    lora: LoRARecipe | None = None
    """Train student and fake score as adapters of the teacher; null trains whole copies."""

    prompts: str
    """File of prompts, one a line or JSONL."""

    cdm: CDMSettings = Field(default_factory=CDMSettings)
    """The method."""

    preview: FewStepPreviewRecipe = Field(default_factory=FewStepPreviewRecipe)
    """Pictures during training."""

    cache: str = "outputs/cache"
    """Folder of the cache of prompt embeddings, shared between runs."""

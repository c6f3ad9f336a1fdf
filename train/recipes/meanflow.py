"""Recipe of MeanFlow distillation (arXiv 2505.13447, 2512.13006)."""

from typing import Literal

from pydantic import Field, model_validator

from train.recipes.distillation import PictureRecipe
from train.recipes.recipe import Recipe, problem


class MeanFlowSettings(Recipe):
    """The method's options. Times are in [0, 1], 1 is noise."""

    p_r_neq_t: float = Field(default=0.75, ge=0, le=1)
    """Share of samples with an interval, r below t; the others have r = t, where the average velocity is the
    teacher's."""

    guidance_scale: float = Field(default=7.0, ge=1)
    """Scale of classifier-free guidance of the teacher's velocity, which the student learns; 1 is none."""

    time_law: Literal["uniform", "logit_normal"] = "logit_normal"
    """Law of the two times, of which the larger is t."""

    mean: float = -0.4
    """logit_normal: mean of logit t."""

    std: float = Field(default=1.0, gt=0)
    """logit_normal: standard deviation of logit t."""

    norm_power: float = Field(default=1.0, ge=0)
    """Power p of the adaptive weight (d^2 + c)^-p of a sample's squared error d^2; 0 weighs all alike."""

    norm_offset: float = Field(default=0.01, gt=0)
    """Offset c of the adaptive weight."""

    derivative: Literal["forward", "difference"] = "forward"
    """How du/dt is found: exactly, by forward-mode differentiation, which needs plain attention; or as the
    difference of two calls, which works with every attention backend and smooths a teacher whose answers
    waver from one time to the next."""

    difference_step: float = Field(default=0.01, gt=0, le=0.5)
    """difference: how far apart the two times are."""


class MeanFlowRecipe(PictureRecipe):
    """Distils a many-step pipeline into average velocities over intervals of time. It needs pictures."""

    recipe: Literal["meanflow"] = "meanflow"
    """Says that this file is a recipe of MeanFlow."""

    meanflow: MeanFlowSettings = Field(default_factory=MeanFlowSettings)
    """The method."""

    @model_validator(mode="after")
    def _whole_network(self) -> "MeanFlowRecipe":
        if self.memory == "lora":
            raise problem(
                "meanflow adds an embedding of the interval to the network, which a LoRA file has no place "
                "for; set memory: full"
            )
        return self

"""Recipe of train.cdm for a causal world: CDM on the student's own streams."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from train.recipes.cdm import CDMSettings
from train.recipes.preview import check_sigmas
from train.recipes.recipe import problem
from train.recipes.run import RunRecipe
from train.recipes.world import StripsRecipe
from train.recipes.world_data import WorldDataRecipe


class FewStepStripsRecipe(StripsRecipe):
    """Strips of frames of the few-step student."""

    sigmas: list[float] | None = None
    """Noise levels before the time shift, falling from 1, one a step, which the saved pipeline keeps as its
    own; null takes cdm.fixed_grid."""


class WorldCDMRecipe(RunRecipe):
    """Distils a causal world into one of few steps a chunk, on clips that the student makes itself."""

    networks: ClassVar[tuple[str, ...]] = ("student", "fake")

    recipe: Literal["world_cdm"] = "world_cdm"
    """Says that this file is a recipe of train.cdm for a world."""

    teacher: str
    """Folder or hub id of a causal WorldPipeline."""

    data: WorldDataRecipe
    """Clips whose first frames and gamepad the student plays on; data.frames is how long it plays."""

    recorded_past: float = Field(default=0.0, ge=0, le=1)
    """Share of iterations in which the chunks follow the recorded frames instead of the student's own."""

    cdm: CDMSettings = Field(default_factory=CDMSettings)
    """The method. Its guidance is that of actions: away from what happens under the null action."""

    preview: FewStepStripsRecipe = Field(default_factory=FewStepStripsRecipe)
    """Strips during training."""

    cache: str = "outputs/cache"
    """Folder of the cache of latents, shared between runs."""

    @model_validator(mode="after")
    def _there_is_a_grid(self) -> "WorldCDMRecipe":
        if self.preview.sigmas is not None:
            check_sigmas(self.preview.sigmas, "preview.sigmas")
        elif self.cdm.fixed_grid is None:
            raise problem(
                "cdm.fixed_grid is null, so preview.sigmas has to say on what grid the student is drawn; "
                "give it, for instance [1, 0.75, 0.5, 0.25]"
            )
        return self

    @property
    def grid(self) -> list[float]:
        """Sigmas of the student before the shift."""
        grid = self.preview.sigmas or self.cdm.fixed_grid
        assert grid is not None
        return grid

"""Recipe of train.cdm for a causal world: CDM on the student's own streams."""

from typing import Literal

from pydantic import Field

from train.recipes.cdm import CDMSettings
from train.recipes.pipeline_cdm import FewStepGridRecipe, PipelineCDMRecipe
from train.recipes.world import StripsRecipe
from train.recipes.world_data import WorldDataRecipe


class FewStepStripsRecipe(StripsRecipe, FewStepGridRecipe):
    """Strips of frames of the few-step student."""


class WorldCDMRecipe(PipelineCDMRecipe):
    """Distils a causal world into one of few steps a chunk, on clips that the student makes itself."""

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

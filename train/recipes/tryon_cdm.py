"""Recipe of train.cdm for a try-on: CDM under the conditions of clips."""

from typing import Literal

from pydantic import Field

from train.recipes.cdm import CDMSettings
from train.recipes.pipeline_cdm import FewStepGridRecipe, PipelineCDMRecipe
from train.recipes.tryon import TryOnPreviewRecipe
from train.recipes.tryon_data import TryOnDataRecipe


class FewStepTryOnPreviewRecipe(TryOnPreviewRecipe, FewStepGridRecipe):
    """Clips of the few-step student, each below the filmed one."""


class TryOnCDMRecipe(PipelineCDMRecipe):
    """Distils a try-on into one of few steps, on the conditions of clips; the filmed garment is not read."""

    recipe: Literal["tryon_cdm"] = "tryon_cdm"
    """Says that this file is a recipe of train.cdm for a try-on."""

    teacher: str
    """Folder or hub id of a TryOnPipeline."""

    data: TryOnDataRecipe
    """Clips whose people are dressed. Their own garments will do."""

    cdm: CDMSettings = Field(default_factory=CDMSettings)
    """The method. Its guidance is the teacher's: away from the negative prompt without captions."""

    preview: FewStepTryOnPreviewRecipe = Field(default_factory=FewStepTryOnPreviewRecipe)
    """Clips during training."""

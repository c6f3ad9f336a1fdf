"""What recipes of train.cdm for a system's own pipeline, a world or a try-on, have in common."""

from typing import ClassVar

from pydantic import Field, model_validator

from train.recipes.cdm import CDMSettings
from train.recipes.preview import check_sigmas
from train.recipes.recipe import Recipe, problem
from train.recipes.run import RunRecipe


class FewStepGridRecipe(Recipe):
    """The grid of previews and of the saved pipeline."""

    sigmas: list[float] | None = None
    """Noise levels before the time shift, falling from 1, one a step, which the saved pipeline keeps as its
    own; null takes cdm.fixed_grid."""


class PipelineCDMRecipe(RunRecipe):
    """Distils a pipeline of clips into one of few steps. A subclass adds its data."""

    networks: ClassVar[tuple[str, ...]] = ("student", "fake")

    teacher: str
    """Folder or hub id of the pipeline that is distilled."""

    cdm: CDMSettings = Field(default_factory=CDMSettings)
    """The method."""

    preview: FewStepGridRecipe = Field(default_factory=FewStepGridRecipe)
    """What is drawn during training."""

    cache: str = "outputs/cache"
    """Folder of the cache of latents and embeddings, shared between runs."""

    @model_validator(mode="after")
    def _there_is_a_grid(self) -> "PipelineCDMRecipe":
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

"""What every recipe of a distillation has: a teacher, prompts and a few-step student."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from train.recipes.data import DataRecipe
from train.recipes.lora import LoRARecipe
from train.recipes.preview import PreviewRecipe
from train.recipes.recipe import Recipe, problem
from train.recipes.run import RunRecipe

MemoryPlan = Literal["full", "lora", "lora_fake"]


class FewStepPreviewRecipe(PreviewRecipe):
    """Pictures or videos of the few-step student."""

    steps: int = Field(default=4, ge=1, le=1000)
    """Network evaluations of a picture."""

    sigmas: list[float] | None = Field(default_factory=lambda: [1.0, 0.75, 0.5, 0.25])
    """Noise levels before the time shift, falling from 1, one a step; null spaces them evenly. They are kept
    beside the student, in few_step.json."""


class DistillationRecipe(RunRecipe):
    """Distils a many-step pipeline into one of few steps."""

    teacher: str
    """Folder or hub id of the pipeline that is distilled."""

    architecture: str | None = None
    """Folder with the configurations of such a pipeline alone, which --dry-run reads where the teacher is not
    on this machine."""

    height: int | None = Field(default=None, ge=1)
    """Height in pixels; null takes the pipeline's own."""

    width: int | None = Field(default=None, ge=1)
    """Width in pixels; null takes the pipeline's own."""

    num_frames: int | None = Field(default=None, ge=1)
    """Frames of a video, 4n + 1; null takes the pipeline's own."""

    max_prompt_tokens: int | None = Field(default=None, ge=1)
    """Tokens of a prompt, longer ones are cut; null takes the pipeline's own."""

    memory: MemoryPlan = "full"
    """What is kept in memory: full trains whole copies of the teacher beside it (three copies with one fake
    score), lora trains student and fake score as adapters of the one teacher (one copy), lora_fake trains a
    whole student and the fake score as an adapter of the teacher (two copies)."""

    lora: LoRARecipe | None = None
    """The adapters of the plans lora and lora_fake; null takes their defaults there."""

    preview: FewStepPreviewRecipe = Field(default_factory=FewStepPreviewRecipe)
    """Pictures during training."""

    cache: str = "outputs/cache"
    """Folder of the cache of prompt embeddings, shared between runs."""

    @model_validator(mode="before")
    @classmethod
    def _plans_with_adapters_have_settings(cls, values: Any) -> Any:
        # Written out, so that the resolved recipe says what the run did.
        planned = isinstance(values, dict) and values.get("memory") in ("lora", "lora_fake")
        return {**values, "lora": {}} if planned and values.get("lora") is None else values

    @model_validator(mode="after")
    def _adapters_have_a_plan(self) -> "DistillationRecipe":
        if self.memory == "full" and self.lora is not None:
            raise problem(
                "lora has settings, but memory is 'full', which trains no adapter; choose memory: lora or "
                "memory: lora_fake, or leave lora out"
            )
        return self


class PromptRecipe(DistillationRecipe):
    """A distillation that needs prompts alone."""

    prompts: str
    """File of prompts, one a line or JSONL; or their embeddings, .safetensors from infer.encode_prompts."""


class ScoreRecipe(PromptRecipe):
    """A distillation with a fake score, whose options are in the section called as the recipe's kind."""

    networks: ClassVar[tuple[str, ...]] = ("student", "fake")

    @model_validator(mode="before")
    @classmethod
    def _an_adapter_is_not_merged_with_a_whole_student(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("memory") != "lora_fake":
            return values
        section = cls.model_fields["recipe"].default
        settings = values.get(section, {})
        if isinstance(settings, dict):
            return {**values, section: {"fake_merge": 1.0, **settings}}
        if isinstance(settings, Recipe) and "fake_merge" not in settings.model_fields_set:
            return {**values, section: settings.model_copy(update={"fake_merge": 1.0})}
        return values


class PictureRecipe(DistillationRecipe):
    """A distillation of one student, without a fake score; it needs pictures with captions."""

    networks: ClassVar[tuple[str, ...]] = ("student",)

    data: DataRecipe
    """Pictures and captions."""

    @model_validator(mode="after")
    def _no_fake_score(self) -> "PictureRecipe":
        if self.memory == "lora_fake":
            raise problem("memory is 'lora_fake', but this method has no fake score; choose full or lora")
        return self

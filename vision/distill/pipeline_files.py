"""Loading and saving of a pipeline, with the checks that diffusers leaves out."""

from pathlib import Path
from typing import Any

from diffusers.loaders.lora_pipeline import WanLoraLoaderMixin
from typing_extensions import Self

from vision.distill.few_step import FewStep
from vision.distill.pipeline_lora import PipelineLora
from vision.pipeline_folder import check_pipeline_folder, pipeline_index, safe_folder
from vision.sourced_text_encoder import text_parts, without_sourced_text

#: Pipelines whose folders TextToImagePipeline runs: its own, and diffusers' Wan with one transformer.
PIPELINES = ("TextToImagePipeline", "WanPipeline")


class PipelineFiles(PipelineLora, WanLoraLoaderMixin):
    """A diffusers pipeline whose files are checked before they are loaded, and that reads no pickle."""

    text_encoder: Any
    tokenizer: Any
    _sourced_text_encoder: Any

    @property
    def own_few_step(self) -> FewStep | None:
        """``default_sigmas`` and ``default_guidance_scale``, where there are sigmas."""
        sigmas = self.config["default_sigmas"]
        return None if sigmas is None else FewStep(sigmas, self.config["default_guidance_scale"])

    @own_few_step.setter
    def own_few_step(self, few_step: FewStep) -> None:
        self.register_to_config(
            default_sigmas=few_step.sigmas, default_guidance_scale=few_step.guidance_scale
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """Loads a pipeline as any of diffusers' is loaded; components and options may be passed instead.

        Call it on this class: ``DiffusionPipeline.from_pretrained`` finds only classes that diffusers
        itself defines.

        Args:
            pretrained_model_name_or_path: folder or hub id, of this pipeline or of diffusers' WanPipeline.
            **kwargs: those of diffusers: ``dtype``, ``device_map``, ``variant``, ``revision``, any component
                by its name, any option of the pipeline by its name.

        Raises:
            ValueError: the folder is no pipeline's or lacks a part; files that are truncated or edited;
                weights with missing or unexpected keys, which are named.
        """
        folder = safe_folder(pretrained_model_name_or_path, kwargs)
        index = pipeline_index(folder)
        if index.get("transformer_2", [None])[0] is not None or index.get("expand_timesteps"):
            raise ValueError(
                f"{folder} holds a Wan 2.2 pipeline with two transformers or with a time for each token, "
                "which TextToImagePipeline does not run; give a folder with one transformer"
            )
        check_pipeline_folder(folder, PIPELINES, kwargs.keys(), kwargs.get("variant"))
        kwargs |= text_parts(folder, index, kwargs)
        return super().from_pretrained(str(folder), **kwargs)

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Saves every part in diffusers' layout; the text encoder stays out where it has a source."""
        with without_sourced_text(self, self._sourced_text_encoder):
            super().save_pretrained(str(save_directory), **kwargs)

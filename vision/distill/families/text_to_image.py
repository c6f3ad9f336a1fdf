"""The house's own pipeline, TextToImagePipeline.

Legend: B samples, C channels, H height, W width of the latents; L prompt tokens, D their width.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vision.distill.families.family import Drawing, Family, LatentShape, Student, load_parameters
from vision.distill.families.scheduler import flow_shift
from vision.distill.pipeline import TextToImagePipeline
from vision.flow.denoiser import Denoiser
from vision.flow.shift import TimeShift
from vision.latents import decode, spatial_factor
from vision.text import PromptEncoder, TokenEncoder
from vision.transformer import VideoTransformerDenoiser


class TextToImage(Family):
    """A small pipeline, which is loaded as a whole; its text encoder goes when prompts are encoded."""

    pipeline = "TextToImagePipeline"

    def latent_shape(self, height: int | None, width: int | None, num_frames: int | None) -> LatentShape:
        if num_frames not in (None, 1):
            raise ValueError(
                f"num_frames is {num_frames}, but a {self.pipeline} draws pictures; leave it out"
            )
        config, patch = self._pipeline.config, self.patch_size
        sides = height or config["default_height"], width or config["default_width"]
        if None in sides:
            raise ValueError(
                f"{self.folder}/model_index.json has no default_height and default_width, from which "
                "the size of the latents follows; write them there, or height and width into the recipe"
            )
        factor = spatial_factor(self._pipeline.vae)
        for name, side, patch_side in zip(("height", "width"), sides, patch[1:], strict=True):
            if side % (factor * patch_side):
                raise ValueError(
                    f"{name} is {side}, expected a multiple of {factor * patch_side} (patches of "
                    f"{patch_side} latents, each of {factor} pixels)"
                )
        return self._pipeline.transformer.config.in_channels, 1, sides[0] // factor, sides[1] // factor

    def max_prompt_tokens(self, asked: int | None) -> int:
        return self._pipeline.config["max_prompt_tokens"] if asked is None else asked

    def sequence_length(self, shape: LatentShape) -> int:
        _, rows, columns = self.patch_size
        return (shape[2] // rows) * (shape[3] // columns)

    def time_shift(self, shape: LatentShape) -> TimeShift:
        scheduler = self._pipeline.scheduler
        return flow_shift(type(scheduler).__name__, scheduler.config, self.sequence_length(shape))

    @property
    def guidance_distilled(self) -> bool:
        return bool(self._pipeline.transformer.config.get("guidance_embeds"))

    def network(self) -> nn.Module:
        return self._pipeline.transformer

    def empty_network(self) -> nn.Module:
        with torch.device("meta"):
            return type(self._pipeline.transformer).from_config(self._pipeline.transformer.config)

    def denoiser(self, network: nn.Module) -> Denoiser:
        return VideoTransformerDenoiser(network)

    def prompt_encoder(self, max_prompt_tokens: int) -> PromptEncoder:
        return _PipelineEncoder(self._pipeline, max_prompt_tokens)

    def draw(self, network: nn.Module, drawing: Drawing) -> Tensor:
        pipeline, own = self._pipeline, (self._pipeline.transformer, self._pipeline.scheduler)
        pipeline.set_progress_bar_config(disable=True)
        pipeline.transformer = network
        if drawing.sampler is not None:
            pipeline.scheduler = drawing.sampler(pipeline.scheduler)
        try:
            return pipeline(
                prompt_embeds=drawing.condition["encoder_hidden_states"],
                negative_prompt_embeds=drawing.null_condition["encoder_hidden_states"],
                latents=drawing.noise,
                sigmas=drawing.sigmas,
                guidance_scale=drawing.guidance_scale,
                output_type="latent",
            ).images
        finally:
            pipeline.transformer, pipeline.scheduler = own

    @property
    def default_sampling(self) -> tuple[int, float]:
        config = self._pipeline.config
        return config["default_num_inference_steps"], config["default_guidance_scale"]

    def autoencoder(self) -> Any:
        return self._pipeline.vae

    def pixels(self, latents: Tensor) -> Tensor:
        return decode(self._pipeline.vae, latents).cpu()

    def save(self, student: Student, folder: Path) -> str:
        defaults = student.defaults
        options = {f"default_{name}": defaults[name] for name in ("guidance_scale", "sigmas")}
        # Loaded afresh: the loop has cast, compiled or sharded the teacher in place.
        pipeline = TextToImagePipeline.from_pretrained(
            self.folder, dtype=torch.float32, default_num_inference_steps=defaults["steps"], **options
        )
        own = {"height": "default_height", "width": "default_width", "max_prompt_tokens": "max_prompt_tokens"}
        changed = {
            key: student.defaults[name] for name, key in own.items() if student.defaults[name] is not None
        }
        pipeline.register_to_config(**changed)
        pipeline.scheduler = student.sampler(pipeline.scheduler)
        student.extend(pipeline.transformer)
        load_parameters(pipeline.transformer, student.weights)
        pipeline.save_pretrained(folder)
        return "loads with vision.TextToImagePipeline.from_pretrained and draws on its few-step grid"

    @property
    def patch_size(self) -> tuple[int, int, int]:
        return self._pipeline.transformer.config.patch_size

    @cached_property
    def _pipeline(self) -> TextToImagePipeline:
        return TextToImagePipeline.from_pretrained(self.folder, dtype=torch.float32)


class _PipelineEncoder(TokenEncoder):
    """The pipeline's own text encoder, which it loses when this is closed."""

    def __init__(self, pipeline: TextToImagePipeline, max_length: int) -> None:
        if pipeline.text_encoder is None:
            raise ValueError(
                f"{pipeline.name_or_path} has neither a text encoder nor a text_encoder_source, so prompts "
                "cannot be encoded; save the pipeline with one"
            )
        super().__init__(pipeline.tokenizer, pipeline.text_encoder, max_length)
        self._pipeline = pipeline

    def close(self) -> None:
        self._pipeline.text_encoder = self._text_encoder = None

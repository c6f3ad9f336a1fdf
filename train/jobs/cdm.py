"""The run of a CDM recipe: the teacher's pipeline becomes a few-step one."""

import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from train.data.batches import Batches
from train.data.build import build_prompts
from train.estimate import Estimate, Load, NetworkSize, estimate
from train.jobs.drawing import preview_with
from train.jobs.job import Job
from train.methods.cdm import CDM
from train.previews import Preview
from train.recipes.cdm import CDMRecipe
from vision.distill.pipeline import TextToImagePipeline
from vision.flow.shift import shift_of_scheduler
from vision.latents import spatial_factor
from vision.lora.adapters import add_lora, save_lora
from vision.processes import process_device
from vision.text import encode_prompts
from vision.transformer import VideoTransformer, VideoTransformerDenoiser

STUDENT, FAKE = CDMRecipe.networks


class CDMJob(Job[CDMRecipe]):
    """Distils ``recipe.teacher``; exports a pipeline that carries its grid, or an adapter."""

    def estimates(self, processes: int) -> dict[str, Estimate]:
        train, transformer = self.recipe.train, self._teacher.transformer
        load = Load.of_latents(
            train.batch_size,
            self._latent_shape,
            transformer.config.patch_size,
            self._teacher.config["max_prompt_tokens"],
        )
        # The student's update joins the anchor's input and the one off the trajectory in one call.
        twice = Load(2 * load.samples, load.tokens, load.prompt_tokens)
        trained = NetworkSize.of(self._trainable(self._teacher))
        device = process_device().type
        common: dict[str, Any] = {"processes": processes, "device": device}
        return {
            STUDENT: estimate(trained, twice, train, averaged=True, **common),
            FAKE: estimate(trained, load, train, **common),
            "teacher": estimate(NetworkSize.of(transformer.requires_grad_(False)), twice, train, **common),
        }

    def prepare(self) -> tuple[CDM, Batches, Preview | None]:
        recipe, teacher = self.recipe, self._teacher
        if teacher.text_encoder is None:
            raise ValueError(
                f"{recipe.teacher} has neither a text encoder nor a text_encoder_source, so prompts cannot "
                "be encoded; save the pipeline with one"
            )
        length = teacher.config["max_prompt_tokens"]
        batches = build_prompts(
            recipe.prompts,
            tokenizer=teacher.tokenizer,
            text_encoder=teacher.text_encoder,
            max_prompt_tokens=length,
            cache=recipe.cache,
            seed=recipe.train.seed,
        )
        null = encode_prompts(teacher.tokenizer, teacher.text_encoder, [""], length)
        student = self._trainable(teacher)
        method = CDM(
            VideoTransformerDenoiser(student),
            VideoTransformerDenoiser(self._trainable(teacher)),
            VideoTransformerDenoiser(teacher.transformer),
            settings=recipe.cdm,
            null_condition={"encoder_hidden_states": null},
            latent_shape=self._latent_shape,
            shift=shift_of_scheduler(teacher.scheduler.config, self._tokens),
        )
        preview = preview_with(teacher, recipe.preview, STUDENT)
        # Embeddings are all that training needs; the encoder's memory is given back.
        teacher.text_encoder = None
        return method, batches, preview

    def export(self, weights: dict[str, Tensor], folder: Path) -> str:
        preview = self.recipe.preview
        # Loaded afresh: the loop has cast, compiled or sharded the teacher in place.
        pipeline = TextToImagePipeline.from_pretrained(
            self.recipe.teacher,
            dtype=torch.float32,
            default_num_inference_steps=preview.steps,
            default_guidance_scale=preview.guidance_scale,
            default_sigmas=preview.sigmas,
        )
        student = self._trainable(pipeline)
        if self.recipe.lora is not None:
            save_lora(folder, student, weights=weights)
            return "loads with pipeline.load_lora_weights"
        student.load_state_dict(weights)
        pipeline.transformer = student
        pipeline.save_pretrained(folder)
        return "loads with vision.TextToImagePipeline.from_pretrained and draws on its few-step grid"

    @cached_property
    def _teacher(self) -> TextToImagePipeline:
        return TextToImagePipeline.from_pretrained(self.recipe.teacher, dtype=torch.float32)

    @property
    def _latent_shape(self) -> tuple[int, int, int, int]:
        teacher = self._teacher
        height, width = teacher.config["default_height"], teacher.config["default_width"]
        if height is None or width is None:
            raise ValueError(
                f"{self.recipe.teacher}/model_index.json has no default_height and default_width, from which "
                "the size of the latents follows; write them there"
            )
        factor = spatial_factor(teacher.vae)
        return teacher.transformer.config.in_channels, 1, height // factor, width // factor

    @property
    def _tokens(self) -> int:
        _, rows, columns = self._teacher.transformer.config.patch_size
        return (self._latent_shape[2] // rows) * (self._latent_shape[3] // columns)

    def _trainable(self, pipeline: TextToImagePipeline) -> VideoTransformer:
        """The teacher's transformer once more: whole, or frozen under a fresh adapter."""
        network = copy.deepcopy(pipeline.transformer).requires_grad_(True)
        if self.recipe.lora is not None:
            lora = self.recipe.lora
            add_lora(network, lora.rank, lora.alpha, lora.target_modules, seed=self.recipe.train.seed)
        return network

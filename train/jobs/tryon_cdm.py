"""The run of a tryon_cdm recipe: a try-on becomes one of few steps, under the conditions of clips."""

import math
from functools import partial

import torch

from train.data.batches import Batches
from train.data.build_tryon import build_tryon
from train.jobs.pipeline_cdm import PipelineCDMJob
from train.jobs.tryon import latent_shape
from train.jobs.tryon_preview import preview_clips, tryon_preview
from train.methods.cdm import CDM
from train.methods.tryon_rollouts import TryOnRollouts
from train.previews import Preview
from train.recipes.tryon_cdm import TryOnCDMRecipe
from vision.distill.families.scheduler import flow_shift
from vision.processes import process_device
from vision.tryon.denoiser import ACTIONS_DROPPED, PROMPT_DROPPED, TryOnDenoiser
from vision.tryon.parts import has_guider, splits_control
from vision.tryon.pipeline import TryOnPipeline
from vision.tryon.timing import Timing


class TryOnCDMJob(PipelineCDMJob[TryOnCDMRecipe]):
    """Distils ``recipe.teacher``; exports a pipeline of few steps, without guidance."""

    pipeline_class = TryOnPipeline
    unguided = "default_guidance_scale"

    @property
    def sequence(self) -> tuple[int, int]:
        return self._tokens(self._latent_shape), self.teacher.config["max_prompt_tokens"]

    def prepare(self) -> tuple[CDM, Batches, Preview | None]:
        recipe, pipeline = self.recipe, self.teacher
        shape = self._latent_shape
        text = self._text
        transformer, config, scheduler = pipeline.transformer, pipeline.config, pipeline.scheduler
        guided = has_guider(transformer)
        shift = flow_shift(type(scheduler).__name__, scheduler.config, self._tokens(shape))
        shown = preview_clips(recipe.preview, recipe.data, guided) if recipe.train.preview_every else []
        negative = config["default_negative_prompt"]
        pipeline.vae.to(process_device())
        batches, texts = build_tryon(
            recipe.data,
            vae=pipeline.vae,
            split_context=splits_control(transformer.config, pipeline.vae),
            text=text,
            max_prompt_tokens=config["max_prompt_tokens"],
            timing=Timing(**(config["timing"] or {})) if guided else None,
            cache=recipe.cache,
            seed=recipe.train.seed,
            also=[negative, *(said for clip in shown for said in clip.texts)],
        )
        # Embeddings are all that training needs; the encoder's memory is given back.
        pipeline.text_encoder = None
        denoiser = partial(
            TryOnDenoiser,
            null_prompt=texts.of([negative])["encoder_hidden_states"],
            padding=config["reference_padding"],
        )
        left_out = torch.ones(1, dtype=torch.bool)
        method = CDM(
            **{name: denoiser(network) for name, network in self.networks(transformer).items()},
            settings=recipe.cdm,
            null_condition={PROMPT_DROPPED: left_out, ACTIONS_DROPPED: left_out},
            latent_shape=shape,
            shift=shift,
            rollouts=TryOnRollouts(),
        )
        preview = None
        if shown:
            preview = tryon_preview(
                pipeline, shown, texts, recipe.preview, recipe.networks[0], self.few_step, reference="teacher"
            )
        return method, batches, preview

    @property
    def _latent_shape(self) -> tuple[int, int, int, int]:
        """Channels, frames with the garment's, height and width of the latents."""
        return latent_shape(self.recipe.data, self.teacher.transformer.config, self.teacher.vae)

    def _tokens(self, shape: tuple[int, int, int, int]) -> int:
        patch = self.teacher.transformer.config.patch_size
        return math.prod(size // part for size, part in zip(shape[1:], patch, strict=True))

    @property
    def _text(self) -> tuple[object, object]:
        """Tokenizer and text encoder.

        Raises:
            ValueError: the teacher has none, or hears no captions and the recipe names actions.
        """
        pipeline = self.teacher
        if pipeline.text_encoder is None or pipeline.tokenizer is None:
            raise ValueError(
                f"{self.recipe.teacher} has no text encoder, which the clips' prompts and captions need; "
                "save it with one, or with text_encoder_source"
            )
        if self.recipe.data.actions and not pipeline.config["trained_with_actions"]:
            raise ValueError(
                f"{self.recipe.teacher} was trained without captions of actions, and so is its student; set "
                "data.actions: false"
            )
        return pipeline.tokenizer, pipeline.text_encoder

"""Previews drawn by the pipeline that a user will call, with the same noise each time.

Legend: C channels, F frames, H height, W width of the pixels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image
from torch import nn

from train.data.encoded_prompts import EncodedPrompts
from train.previews import Pictures, Preview
from train.recipes.preview import PreviewRecipe
from vision.distill.families.family import Drawing, Family, LatentShape, Sampler
from vision.distill.few_step import FewStep
from vision.distill.pipeline import TextToImagePipeline
from vision.flow.denoiser import Condition
from vision.flow.schedules import linear_schedule


def preview_with(pipeline: TextToImagePipeline, recipe: PreviewRecipe, name: str) -> Preview | None:
    """A preview by ``pipeline`` with the network called ``name`` as its transformer; None without prompts."""
    if not recipe.prompts:
        return None
    embeds, negative = pipeline.encode_prompt(recipe.prompts, "", True, device=torch.device("cpu"))
    pipeline.set_progress_bar_config(disable=True)

    def draw(step: int, networks: dict[str, nn.Module]) -> Pictures:
        transformer = pipeline.transformer
        pipeline.transformer = networks[name]
        try:
            images = pipeline(
                prompt_embeds=embeds,
                negative_prompt_embeds=negative,
                num_inference_steps=recipe.steps,
                sigmas=recipe.sigmas,
                guidance_scale=recipe.guidance_scale,
                generator=torch.Generator().manual_seed(recipe.seed),
            ).images
        finally:
            pipeline.transformer = transformer
        return Pictures(images, recipe.columns)

    return Preview(draw, about=_about(recipe))


def few_step_preview(
    family: Family,
    prompts: EncodedPrompts,
    null_condition: Condition,
    shape: LatentShape,
    few_step: FewStep,
    recipe: PreviewRecipe,
    name: str,
    sampler: Sampler,
) -> Preview | None:
    """A preview by a family's own pipeline, one sample at a time; None without prompts.

    The frozen network ``"teacher"`` draws the reference with the family's own steps and guidance.

    Args:
        family: draws and decodes.
        prompts: has the embeddings of the recipe's prompts.
        null_condition: of the empty prompt, for one sample.
        shape: (C, F, H, W) of the latents.
        few_step: the grid and its guidance.
        recipe: what to draw. A video becomes a row of as many of its frames as the grid has columns.
        name: of the network that draws.
        sampler: makes the student's scheduler of the teacher's.
    """
    if not recipe.prompts:
        return None

    def draw(
        network: nn.Module,
        sigmas: Sequence[float],
        guidance_scale: float,
        sampler: Sampler | None = None,
    ) -> Pictures:
        device = next(network.parameters()).device
        noise = torch.randn(
            (len(recipe.prompts), *shape), generator=torch.Generator().manual_seed(recipe.seed)
        )
        null = {key: value.to(device) for key, value in null_condition.items()}
        drawn: list[Image.Image] = []
        columns = recipe.columns
        for prompt, start in zip(recipe.prompts, noise, strict=True):
            condition = {key: value.to(device) for key, value in prompts.of([prompt]).items()}
            drawing = Drawing(start[None].to(device), condition, null, sigmas, guidance_scale, sampler)
            latents = family.draw(network, drawing)
            frames = family.pixels(latents)[0].transpose(0, 1)  # (F, C, H, W)
            shown = np.linspace(0, len(frames) - 1, min(len(frames), recipe.columns)).round().astype(int)
            images: Any = VaeImageProcessor().postprocess(frames[shown], output_type="pil")
            drawn += images
            columns = len(shown) if len(shown) > 1 else columns
        return Pictures(drawn, columns)

    def draw_trained(step: int, networks: dict[str, nn.Module]) -> Pictures:
        return draw(networks[name], few_step.sigmas, few_step.guidance_scale, sampler)

    def draw_frozen(networks: dict[str, nn.Module]) -> Pictures:
        steps, guidance_scale = family.default_sampling
        return draw(networks["teacher"], linear_schedule(steps)[:-1], guidance_scale)

    return Preview(draw_trained, draw_frozen, about=_about(recipe))


def _about(recipe: PreviewRecipe) -> dict[str, Any]:
    return {"prompts": recipe.prompts, "seed": recipe.seed}

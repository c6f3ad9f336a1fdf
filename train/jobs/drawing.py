"""Previews drawn by the pipeline that a user will call, with the same noise each time."""

import torch
from PIL import Image
from torch import nn

from train.previews import Preview
from train.recipes.preview import PreviewRecipe
from vision.distill.pipeline import TextToImagePipeline
from vision.media import enlargement, image_grid


def preview_with(pipeline: TextToImagePipeline, recipe: PreviewRecipe, name: str) -> Preview | None:
    """A preview by ``pipeline`` with the network called ``name`` as its transformer; None without prompts."""
    if not recipe.prompts:
        return None
    embeds, negative = pipeline.encode_prompt(recipe.prompts, "", True, device=torch.device("cpu"))
    pipeline.set_progress_bar_config(disable=True)

    def preview(step: int, networks: dict[str, nn.Module]) -> Image.Image:
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
        rows = [images[i : i + recipe.columns] for i in range(0, len(images), recipe.columns)]
        return image_grid(rows, scale=enlargement(images[0]))

    return preview

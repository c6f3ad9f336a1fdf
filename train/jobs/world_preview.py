"""Previews of a world: what it shows above what the engine showed.

Legend: B clips, T frames, H height, W width.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from train.data.world_clips import read_world_clip
from train.previews import Pictures, Preview
from train.recipes.world import StripsRecipe
from train.recipes.world_data import WorldDataRecipe
from vision.latents.cache import to_unit_range
from vision.transformer import Actions
from vision.world.crossfps import find_clips
from vision.world.pipeline import WorldPipeline


def world_preview(
    pipeline: WorldPipeline,
    recipe: StripsRecipe,
    data: WorldDataRecipe,
    name: str,
    options: Mapping[str, Any] = MappingProxyType({}),
    reference: str | None = None,
) -> Preview:
    """A preview by ``pipeline`` with the network called ``name`` as its transformer.

    Each clip is a strip of evenly spaced frames; below it stand the recorded ones. A causal network makes its
    frames as a stream.

    Args:
        pipeline: of the run.
        recipe: what to draw.
        data: how clips are read.
        name: of the network that draws.
        options: of the sampling, where they are not the pipeline's own.
        reference: the frozen network that draws the same by the pipeline's own options; None for none.

    Raises:
        ValueError: a clip of the preview cannot be used.
    """
    pipeline.set_progress_bar_config(disable=True)
    folders = find_clips(recipe.path or data.path)[: recipe.clips]
    clips = [read_world_clip(folder, data) for folder in folders]
    shown = torch.stack([clip.frames(data.height, data.width)[: data.frames] for clip in clips])
    first = to_unit_range(shown[:, 0].permute(0, 3, 1, 2))  # (B, 3, H, W)
    actions = Actions(
        torch.stack([clip.sticks[: data.frames] for clip in clips]),
        torch.stack([clip.buttons[: data.frames] for clip in clips]),
    )
    columns = np.linspace(0, data.frames - 1, min(recipe.columns, data.frames)).round().astype(int)

    def draw(network: nn.Module, sampling: Mapping[str, Any]) -> Pictures:
        transformer = pipeline.transformer
        pipeline.transformer = network
        try:
            generator = torch.Generator().manual_seed(recipe.seed)
            latents = pipeline.clip_latents(first, actions, generator=generator, **sampling)
            frames = pipeline.show(latents, "pt")
        finally:
            pipeline.transformer = transformer
        made = (255 * frames).round().to("cpu", torch.uint8).permute(0, 1, 3, 4, 2)  # (B, T, H, W, 3)
        rows = [row for pair in zip(made, shown, strict=True) for row in pair]
        pictures = [Image.fromarray(row[column].numpy()) for row in rows for column in columns]
        return Pictures(pictures, len(columns))

    def draw_trained(step: int, networks: dict[str, nn.Module]) -> Pictures:
        return draw(networks[name], options)

    def draw_frozen(networks: dict[str, nn.Module]) -> Pictures | None:
        return None if reference is None else draw(networks[reference], {})

    about = {"clips": [folder.name for folder in folders], "seed": recipe.seed}
    return Preview(draw_trained, draw_frozen, about=about)

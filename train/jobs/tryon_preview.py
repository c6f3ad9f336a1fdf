"""Previews of a try-on: what it makes below what was filmed.

Legend: T frames, H height, W width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from train.data.build_tryon import samples_of
from train.data.encoded_prompts import EncodedPrompts
from train.previews import Pictures, Preview
from train.recipes.tryon import TryOnPreviewRecipe
from train.recipes.tryon_data import TryOnDataRecipe
from vision.media import to_image
from vision.tryon.parts import has_guider
from vision.tryon.pipeline import TryOnPipeline
from vision.tryon.sample_inputs import sample_inputs


@dataclass(frozen=True)
class PreviewClip:
    """A clip that is drawn.

    Attributes:
        name: of the sample.
        inputs: arguments of the pipeline.
        prompt: caption of the whole video.
    """

    name: str
    inputs: dict[str, Any]
    prompt: str

    @property
    def texts(self) -> list[str]:
        """What of it is encoded."""
        return [self.prompt, *(caption for _, _, caption in self.inputs["actions"] or [])]


def preview_clips(recipe: TryOnPreviewRecipe, data: TryOnDataRecipe, guided: bool) -> list[PreviewClip]:
    """The first window of the first samples.

    Args:
        recipe: what to draw.
        data: how samples are cut.
        guided: whether the network reads hands and actions.

    Raises:
        ValueError: a sample that cannot be used.
    """
    clips = []
    for sample in samples_of(recipe.data or data)[: recipe.clips]:
        pixels = sample.load()
        if pixels.video.shape[1] < data.frames:
            raise ValueError(
                f"{sample.record.id} of the preview has {pixels.video.shape[1]} frames, expected at least "
                f"{data.frames} (data.frames)"
            )
        inputs = sample_inputs(sample, pixels, (data.height, data.width), (0, data.frames))
        if not guided:
            inputs |= {"hands": None, "actions": None}
        elif not data.actions:
            inputs["actions"] = None
        clips.append(PreviewClip(sample.record.id, inputs, sample.record.caption))
    return clips


def tryon_preview(
    pipeline: TryOnPipeline,
    clips: Sequence[PreviewClip],
    texts: EncodedPrompts,
    recipe: TryOnPreviewRecipe,
    name: str,
    options: Mapping[str, Any] = MappingProxyType({}),
    reference: str | None = None,
) -> Preview:
    """A preview by ``pipeline`` with the network called ``name`` as its transformer.

    Each clip is a row of evenly spaced filmed frames above a row of what was made.

    Args:
        pipeline: of the run, without a text encoder.
        clips: what is drawn.
        texts: embeddings of their texts, of "" and of the pipeline's negative prompt.
        recipe: how much of it is shown.
        name: of the network that draws.
        options: of the sampling, where they are not the pipeline's own.
        reference: the frozen network that draws the same by the pipeline's own options; None for none.
    """
    pipeline.set_progress_bar_config(disable=True)
    frames = clips[0].inputs["video"].shape[1]
    columns = np.linspace(0, frames - 1, min(recipe.columns, frames)).round().astype(int)

    def draw(network: nn.Module, sampling: Mapping[str, Any]) -> Pictures:
        transformer = pipeline.transformer
        pipeline.transformer = network
        try:
            rows = []
            for clip in clips:
                rows += [clip.inputs["video"], made(clip, network, sampling)]
        finally:
            pipeline.transformer = transformer
        pictures: list[Image.Image] = [to_image(row[:, column]) for row in rows for column in columns]
        return Pictures(pictures, len(columns))

    def made(clip: PreviewClip, network: nn.Module, sampling: Mapping[str, Any]) -> Tensor:
        """uint8 (3, T, H, W)."""
        said = {text: texts.tokens(text) for text in ["", *clip.texts]} if has_guider(network) else None
        shown = pipeline(
            **clip.inputs,
            prompt_embeds=texts.of([clip.prompt])["encoder_hidden_states"],
            negative_prompt_embeds=texts.of([pipeline.config["default_negative_prompt"]])[
                "encoder_hidden_states"
            ],
            caption_embeds=said,
            window_frames=frames,
            window_overlap=1,
            generator=torch.Generator().manual_seed(recipe.seed),
            output_type="pt",
            **sampling,
        ).frames[0]
        return (255 * shown).round().to("cpu", torch.uint8).transpose(0, 1)

    def draw_trained(step: int, networks: dict[str, nn.Module]) -> Pictures:
        return draw(networks[name], options)

    def draw_frozen(networks: dict[str, nn.Module]) -> Pictures | None:
        return None if reference is None else draw(networks[reference], {})

    about = {"clips": [clip.name for clip in clips], "seed": recipe.seed}
    return Preview(draw_trained, draw_frozen, about=about)

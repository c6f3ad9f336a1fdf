"""Data sets of the recipes, put together from files, caches and orders."""

from pathlib import Path
from typing import Any

import numpy as np

from train.data.batches import Batches
from train.data.captioned_latents import CaptionedLatents
from train.data.encoded_prompts import EncodedPrompts
from train.data.idx import IdxPictures, read_idx_pictures
from train.data.labelled_pixels import LabelledPixels
from train.data.latent_rows import PixelRows
from train.data.order import EpochOrder
from train.data.prompts import Prompts
from train.recipes.data import DataRecipe
from vision.text import read_prompts


def build_captioned(
    data: DataRecipe,
    *,
    vae: Any,
    tokenizer: Any,
    text_encoder: Any,
    max_prompt_tokens: int,
    cache: Path | str,
    seed: int,
) -> Batches:
    """Batches ``{"latents": (B, C, F, H, W), "encoder_hidden_states": (B, L, D)}`` of a data recipe.

    Args:
        data: where pictures and captions are.
        vae: as for :func:`vision.latents.encode`; on the device that is to make the latents.
        tokenizer, text_encoder: as for :func:`vision.text.encode_prompts`.
        max_prompt_tokens: L.
        cache: folder of latents and prompt embeddings.
        seed: of the order and the choice of wordings.
    """
    pictures = _read_idx(data)
    assert data.class_names is not None
    # One prompt for each class and template, class by class.
    captions = [template.replace("{}", name) for name in data.class_names for template in data.templates]
    count = len(data.templates)
    wordings = pictures.labels[:, None] * count + np.arange(count)
    prompts = EncodedPrompts(captions, tokenizer, text_encoder, max_prompt_tokens, Path(cache) / "prompts")
    dataset = CaptionedLatents(PixelRows(pictures.pixels), prompts, wordings, seed)
    return Batches(dataset, EpochOrder(len(dataset)), seed)


def build_labelled(data: DataRecipe, *, seed: int) -> Batches:
    """Batches ``{"latents": (B, C, 1, H, W) pixels in [-1, 1], "label": (B,)}`` of a recipe of source idx."""
    pictures = _read_idx(data)
    dataset = LabelledPixels(PixelRows(pictures.pixels), pictures.labels)
    return Batches(dataset, EpochOrder(len(dataset)), seed)


def build_prompts(
    path: Path | str,
    *,
    tokenizer: Any,
    text_encoder: Any,
    max_prompt_tokens: int,
    cache: Path | str,
    seed: int,
) -> Batches:
    """Batches ``{"encoder_hidden_states": (B, L, D)}`` of a file of prompts; see :func:`build_captioned`."""
    prompts = EncodedPrompts(
        read_prompts(path), tokenizer, text_encoder, max_prompt_tokens, Path(cache) / "prompts"
    )
    return Batches(Prompts(prompts), EpochOrder(len(prompts)), seed)


def _read_idx(data: DataRecipe) -> IdxPictures:
    if data.source != "idx" or data.labels_path is None or data.class_names is None:
        raise ValueError(f"pictures with labels come from source idx, found {data.source}")
    return read_idx_pictures(data.path, data.labels_path, len(data.class_names))

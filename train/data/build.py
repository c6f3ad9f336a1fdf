"""Data sets of the recipes, put together from files, caches and orders."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from train.data.batches import Batches
from train.data.buckets import BucketOrder, bucket_sizes, nearest_size
from train.data.captioned_latents import CaptionedLatents
from train.data.captioned_picture import PictureListing
from train.data.encoded_prompts import EncodedPrompts, encode_through_cache
from train.data.hub_dataset import read_hub_dataset
from train.data.idx import IdxPictures, read_idx_pictures
from train.data.idx_listing import idx_listing
from train.data.image_folder import read_image_folder, read_image_list
from train.data.labelled_pixels import LabelledPixels
from train.data.latent_rows import PixelRows
from train.data.order import EpochOrder
from train.data.picture_latents import prepare_latents
from train.data.prompts import Prompts
from train.recipes.data import DataRecipe
from vision.latents import LatentCache, spatial_factor
from vision.text import EmbeddingsFile, PromptEncoder, read_prompts
from vision.text.embeddings_file import SUFFIX


def build_captioned(
    data: DataRecipe,
    *,
    vae: Any,
    encoder: PromptEncoder,
    cache: Path | str,
    seed: int,
    channels: int | None = None,
    patch_size: int = 2,
) -> Batches:
    """Batches of a data recipe: ``"latents"`` (B, C, F, H, W), and the named tensors of the captions.

    Args:
        data: where pictures and captions are.
        vae: as for :func:`vision.latents.encode`; on the device that is to make the latents.
        encoder: of the captions; the caller closes it.
        cache: folder of latents and prompt embeddings.
        seed: of the order and the choice of wordings.
        channels: of the pictures, 1 or 3; by default what the autoencoder takes, and without one what an idx
            file has, else 3.
        patch_size: side of the network's patch in latents; buckets have sizes that fit it.
    """
    pictures = _read_idx(data) if data.source == "idx" else None
    if channels is None:
        own = 3 if pictures is None else pictures.pixels.shape[1]
        channels = int(own if vae is None else vae.config["in_channels"])
    wanted = (channels, data.height, data.width)
    if pictures is not None and vae is None and pictures.pixels.shape[1:] == wanted:
        # One prompt for each class and template, class by class.
        captions = _worded(data.class_names or [], data.templates)
        count = len(data.templates)
        wordings = pictures.labels[:, None] * count + np.arange(count)
        prompts = encode_texts(captions, encoder, cache)
        dataset = CaptionedLatents(PixelRows(pictures.pixels), prompts, wordings, seed)
        return Batches(dataset, EpochOrder(len(dataset)), seed)

    sizes = [(data.height, data.width)]
    if data.buckets:
        sizes = bucket_sizes(data.height, data.width, spatial_factor(vae) * patch_size)
    made = prepare_latents(
        _listing(data, pictures),
        LatentCache(Path(cache) / "latents", vae),
        channels,
        partial(nearest_size, sizes=sizes),
        data.max_bad_share,
    )
    captions = _worded(made.captions, data.templates)
    wordings = np.arange(len(captions)).reshape(len(made.captions), -1)
    dataset = CaptionedLatents(made.rows, encode_texts(captions, encoder, cache), wordings, seed)
    return Batches(dataset, BucketOrder(made.sizes) if data.buckets else EpochOrder(len(dataset)), seed)


def build_labelled(data: DataRecipe, *, seed: int) -> Batches:
    """Batches ``{"latents": (B, C, 1, H, W) pixels in [-1, 1], "label": (B,)}`` of a recipe of source idx."""
    dataset = labelled_pixels(data)
    return Batches(dataset, EpochOrder(len(dataset)), seed)


def labelled_pixels(data: DataRecipe) -> LabelledPixels:
    """Pictures and labels of a recipe of source idx, in the file's order."""
    pictures = _read_idx(data)
    found = pictures.pixels.shape[2:]
    if found != (data.height, data.width):
        raise ValueError(
            f"{data.path} holds pictures of {found[0]} x {found[1]}, the recipe wants {data.height} x "
            f"{data.width}; change data.height and data.width"
        )
    return LabelledPixels(PixelRows(pictures.pixels), pictures.labels)


def encode_prompt_file(
    path: Path | str, *, model: str, encoder: PromptEncoder, cache: Path | str, also: Sequence[str] = ()
) -> EncodedPrompts:
    """Embeddings of a file of prompts, its non-empty ones by number.

    Args:
        path: a prompt file (:func:`vision.text.read_prompts`), or embeddings
            (:class:`vision.text.EmbeddingsFile`), with which nothing is encoded.
        model: class of the pipeline that they are for.
        encoder: of that pipeline; the caller closes it.
        cache: folder of the cache.
        also: further prompts that are needed, such as "".

    Raises:
        ValueError: the file cannot be read, or was made for another encoder.
    """
    if Path(path).suffix != SUFFIX:
        return encode_texts(read_prompts(path), encoder, cache, also)
    embeddings = EmbeddingsFile(path)
    embeddings.check(model, encoder)
    for prompt in also:
        embeddings[prompt]
    return EncodedPrompts([prompt for prompt in embeddings.prompts if prompt], embeddings, encoder)


def build_prompts(prompts: EncodedPrompts, seed: int) -> Batches:
    """Batches of the named tensors of prompts."""
    return Batches(Prompts(prompts), EpochOrder(len(prompts)), seed)


def encode_texts(
    prompts: Sequence[str], encoder: PromptEncoder, cache: Path | str, also: Sequence[str] = ()
) -> EncodedPrompts:
    """Embeddings of prompts through a cache folder, and of further ones that are asked for by name."""
    embeddings = encode_through_cache([*prompts, *also], encoder, Path(cache) / "prompts")
    return EncodedPrompts(prompts, embeddings, encoder)


def _read_idx(data: DataRecipe) -> IdxPictures:
    if data.source != "idx" or data.labels_path is None or data.class_names is None:
        raise ValueError(f"pictures with labels come from source idx, found {data.source}")
    return read_idx_pictures(data.path, data.labels_path, len(data.class_names))


def _listing(data: DataRecipe, pictures: IdxPictures | None) -> PictureListing:
    if pictures is not None:
        return idx_listing(pictures, data.path, data.class_names or [])
    if data.source == "image_folder":
        return read_image_folder(data.path)
    if data.source == "jsonl":
        return read_image_list(data.path)
    return read_hub_dataset(data.path, data.class_names)


def _worded(captions: Sequence[str], templates: Sequence[str]) -> list[str]:
    """All wordings of all captions, caption by caption."""
    return [template.replace("{}", caption) for caption in captions for template in templates]

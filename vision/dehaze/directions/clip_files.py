"""CLIP models from a folder or the hub."""

from typing import Any

from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, CLIPModel
from transformers.image_processing_base import ImageProcessingMixin

from vision.dehaze.clip_statistics import CLIP_MEAN, CLIP_STD
from vision.dehaze.directions.clip_encoder import ClipEncoder


def load_clip(source: str) -> tuple[ClipEncoder, Any]:
    """A frozen CLIP with both towers.

    Args:
        source: a local folder, or a hub name such as ``openai/clip-vit-base-patch32``.

    Returns:
        Its picture encoder (with the whole model in it) and its tokenizer.

    Raises:
        ValueError: there is no such model, it is no CLIP, it has no text tower, or its weights are not all
            there.
    """
    try:
        kind = AutoConfig.from_pretrained(source).model_type
    except (OSError, ValueError) as error:  # ValueError: a config.json of no model that transformers knows
        raise ValueError(_not_loaded(source, error)) from error
    if kind == "clip_vision_model":
        raise ValueError(_no_text_tower(source))
    if kind != "clip":
        raise ValueError(f"{source!r} is a {kind!r} model; expected a CLIP model")
    try:
        loaded: Any = CLIPModel.from_pretrained(source, use_safetensors=True, output_loading_info=True)
    except (OSError, RuntimeError, SafetensorError) as error:  # RuntimeError: weights of other shapes
        raise ValueError(_not_loaded(source, error)) from error
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if any(key.startswith(("text_model.", "text_projection")) for key in missing):
        raise ValueError(_no_text_tower(source))
    if missing:
        raise ValueError(
            f"the weights in {source!r} lack {len(missing)} of CLIP's tensors: {', '.join(missing[:3])}; "
            "the file belongs to another model"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        mean, std = _normalisation(source)
    except OSError as error:
        raise ValueError(_not_loaded(source, error)) from error
    return ClipEncoder(model, f"CLIP {source}", mean, std), tokenizer


def _normalisation(source: str) -> tuple[list[float], list[float]]:
    settings, _ = ImageProcessingMixin.get_image_processor_dict(source)
    return list(settings.get("image_mean", CLIP_MEAN)), list(settings.get("image_std", CLIP_STD))


def _not_loaded(source: str, error: Exception) -> str:
    return (
        f"no CLIP model can be loaded from {source!r}: {error}. Expected a folder with config.json, "
        "model.safetensors, a tokenizer and preprocessor_config.json, or the name of a model on the hub"
    )


def _no_text_tower(source: str) -> str:
    return (
        f"{source!r} holds CLIP's picture tower without its text tower, so prompts have no embeddings there; "
        "give a whole CLIP model, or a direction from pictures (SyntheticPairDirection, ExemplarDirection)"
    )

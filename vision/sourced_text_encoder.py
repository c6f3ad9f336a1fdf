"""A pipeline's text encoder that has a source of its own, and so need not be saved with the pipeline."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from vision.pipeline_folder import names_component
from vision.text import load_text_encoder


def text_parts(folder: Path, index: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """What ``from_pretrained`` of diffusers is told of the text encoder and its tokenizer.

    Args:
        folder: of the pipeline.
        index: its model_index.json.
        options: arguments of ``from_pretrained``.

    Returns:
        The parts by name, where there are any and the caller brings none; of a caller's own encoder, that
        it has no source and is saved with the pipeline.
    """
    if "text_encoder" in options:
        return {"text_encoder_source": options.get("text_encoder_source")}
    source = options.get("text_encoder_source", index.get("text_encoder_source"))
    if names_component(index.get("text_encoder")):
        if options.get("quantization_config") is not None or options.get("variant") is not None:
            return {}  # diffusers knows which of these concern the encoder
        source = folder
    if source is None:
        return {}
    dtype = options.get("dtype", options.get("torch_dtype"))
    if isinstance(dtype, dict):
        dtype = dtype.get("text_encoder", dtype.get("default"))
    tokenizer, text_encoder = load_text_encoder(source)
    parts = {"tokenizer": tokenizer, "text_encoder": text_encoder.to(dtype or torch.float32)}
    return {name: part for name, part in parts.items() if name not in options}


@contextmanager
def without_sourced_text(pipeline: Any, sourced: Any) -> Iterator[None]:
    """While a pipeline is saved: its text encoder is left out if it still is ``sourced``, the source's own.

    Args:
        pipeline: with ``text_encoder_source`` in its configuration.
        sourced: the text encoder that came from there.
    """
    replaced: dict[str, Any] = {}
    if pipeline.config["text_encoder_source"] is not None:
        if pipeline.text_encoder is sourced:
            replaced = {"text_encoder": (None, None), "tokenizer": (None, None)}
        else:  # swapped by the user since
            replaced = {"text_encoder_source": None}
    kept = {name: pipeline.config[name] for name in replaced}
    pipeline.register_to_config(**replaced)
    try:
        yield
    finally:
        pipeline.register_to_config(**kept)

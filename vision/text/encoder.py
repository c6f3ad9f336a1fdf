"""Text encoders from a package, a folder or the hub."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoTokenizer

# Families whose AutoModel has a decoder or a picture tower as well: the class that is the text encoder alone.
_ENCODER_CLASSES = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
    "clip": "CLIPTextModel",
    "clip_text_model": "CLIPTextModel",
}


def load_text_encoder(source: str | Path) -> tuple[Any, Any]:
    """Loads a tokenizer and a frozen text encoder in evaluation mode.

    Args:
        source: ``package:NAME`` for weights inside the installed package NAME, a local folder (of the
            encoder, or of a pipeline with ``text_encoder`` and ``tokenizer`` in it), or a hub name.

    Returns:
        ``(tokenizer, text_encoder)``, both transformers classes; the weights keep their stored type.

    Raises:
        ValueError: there is no such package, folder or hub model, or its weights are not all there.
    """
    place = _locate(str(source))
    model_place, tokenizer_place = place, place
    if isinstance(place, Path) and (place / "text_encoder").is_dir():
        model_place, tokenizer_place = place / "text_encoder", place / "tokenizer"
    try:
        config = AutoConfig.from_pretrained(model_place)
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_place)
        name = _ENCODER_CLASSES.get(config.model_type)
        encoder_class: Any = AutoModel if name is None else getattr(transformers, name)
        encoder, report = encoder_class.from_pretrained(
            model_place, use_safetensors=True, output_loading_info=True
        )
    except (OSError, RuntimeError, SafetensorError) as error:  # RuntimeError: weights of other shapes
        raise ValueError(
            f"no text encoder can be loaded from {str(source)!r}: {error}. Expected package:NAME, a folder "
            "with config.json, model.safetensors and a tokenizer, or the name of a model on the hub"
        ) from error
    # A pooler makes one vector of a prompt; prompt embeddings are the vectors of its tokens.
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if missing:
        raise ValueError(
            f"the weights in {str(source)!r} lack {len(missing)} of {encoder_class.__name__}'s tensors: "
            f"{', '.join(missing[:3])}...; the file belongs to another model"
        )
    return tokenizer, encoder.eval().requires_grad_(False)


def _locate(source: str) -> Path | str:
    if not source.startswith("package:"):
        folder = Path(source).expanduser()
        return folder if folder.is_dir() else source
    name = source.removeprefix("package:")
    spec = find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"text encoder {source!r}: no package {name!r} is installed; "
            f"run: pip install {name.replace('_', '-')}"
        )
    package = Path(spec.submodule_search_locations[0])
    for folder in (package / "model", package):
        if (folder / "config.json").is_file():
            return folder
    raise ValueError(f"text encoder {source!r}: no config.json in {package} or {package / 'model'}")

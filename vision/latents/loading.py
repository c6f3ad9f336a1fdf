"""Autoencoders from their folders."""

from pathlib import Path
from typing import Any

from diffusers.models.auto_model import AutoModel

from vision.latents.autoencoder import CLASSES, unknown_class
from vision.weights import check_weights, read_json


def load_autoencoder(source: Path | str, **options: Any) -> Any:
    """Loads an autoencoder of a class that :func:`vision.latents.encode` takes, on the CPU.

    Args:
        source: folder of the autoencoder, or a name on the hub for those of diffusers.
        **options: of ``from_pretrained``, such as ``dtype``.

    Raises:
        ValueError: ``config.json`` names another class, or the weights are not those that it describes.
        OSError: there is no such folder or name.
    """
    config = Path(source) / "config.json"
    if not config.is_file():
        return AutoModel.from_pretrained(str(source), use_safetensors=True, **options)
    name = read_json(config).get("_class_name")
    found = next((known for known in CLASSES if known.__name__ == name), None)
    if found is None:
        raise ValueError(f"{config}: {unknown_class(str(name))}")
    check_weights(Path(source), found)
    return found.from_pretrained(source, use_safetensors=True, **options)

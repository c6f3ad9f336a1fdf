"""Which model made a picture: a hash that a copy of the folder shares and any edit changes."""

import hashlib
from pathlib import Path
from typing import Any

from vision.text import text_encoder_identity

#: What a pipeline is read from; cards, previews and the like are not part of the model.
_MODEL_FILES = (".json", ".safetensors", ".txt", ".model")


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def pipeline_hash(pipeline: Any) -> str:
    """Hash of the names and content of the folder a pipeline was loaded from, and of its text encoder
    where that comes from elsewhere."""
    folder = Path(pipeline.name_or_path)
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _MODEL_FILES and path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()} {file_hash(path)}\n".encode())
    if pipeline.config.get("text_encoder_source") is not None:
        digest.update(text_encoder_identity(pipeline.tokenizer, pipeline.text_encoder).encode())
    return digest.hexdigest()

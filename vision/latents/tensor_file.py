"""Small safetensors files that are whole or not there, and that know their own checksum."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from vision.latents.identity import hash_tensors
from vision.whole_file import written_aside


class DamagedFileError(ValueError):
    """A tensor file that is cut short, edited, or of another kind."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes tensors beside their metadata and checksum.

    The file appears whole or not at all, and several processes may write it.

    Raises:
        OSError: the file cannot be written (a full disk, say); nothing is left behind.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with written_aside(path) as aside:
        try:
            save_file(whole, aside, {**metadata, "checksum": hash_tensors(whole)})
        except SafetensorError as error:
            raise OSError(f"{path} cannot be written: {error}; is the disk full?") from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file that :func:`write_tensors` wrote.

    Raises:
        DamagedFileError: the file is cut short, edited, or was not written by :func:`write_tensors`.
        FileNotFoundError: there is none.
    """
    try:
        # Not mapped into memory: the tensors of a mapped file change, or crash the process, when it does.
        content = path.read_bytes()
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except SafetensorError as error:
        raise DamagedFileError(f"{path} is not a whole safetensors file ({error}); delete it") from error
    metadata = header.get("__metadata__", {})
    if metadata.pop("checksum", None) != hash_tensors(tensors):
        raise DamagedFileError(f"{path} does not hold the tensors it was written with; delete it")
    return tensors, metadata

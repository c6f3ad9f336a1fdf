"""Whether a checkpoint is whole: the sizes and hashes of its files, written last."""

import hashlib
import json
import os
from pathlib import Path

from train.tensor_files import sync

NAME = "manifest.json"


class BrokenCheckpointError(ValueError):
    """A checkpoint is not what was written."""


def write_json(path: Path, content: dict) -> None:
    """Writes an object to a file and waits until it is on the disk."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def files_of(folder: Path) -> list[str]:
    """Paths in ``folder`` of every file in it but the manifest, sorted."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in files if name != NAME)


def hash_share(folder: Path, rank: int, world_size: int) -> list[tuple[str, dict]]:
    """Name, size and SHA-256 of every ``world_size``-th file of ``folder``, beginning with ``rank``."""
    return [
        (name, {"size": (folder / name).stat().st_size, "sha256": _hash(folder / name)})
        for name in files_of(folder)[rank::world_size]
    ]


def write_manifest(folder: Path, files: dict[str, dict], facts: dict) -> None:
    """Writes the manifest and waits until the folder is on the disk as a whole."""
    write_json(folder / NAME, {**facts, "files": files})
    for path in sorted(path for path in folder.rglob("*") if path.is_dir()):
        sync(path)
    sync(folder)


def verify(folder: Path) -> dict:
    """Checks a checkpoint against its manifest and returns the manifest.

    Raises:
        BrokenCheckpointError: with the first file that is absent, of another size or changed.
    """
    try:
        manifest = json.loads((folder / NAME).read_text(encoding="utf-8"))
        files = {str(name): (entry["size"], entry["sha256"]) for name, entry in manifest["files"].items()}
    except FileNotFoundError:
        raise BrokenCheckpointError(f"{folder} has no {NAME}, so it is no checkpoint") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenCheckpointError(f"{folder / NAME} is not a manifest: {error!r}") from None
    for name, (size, _) in files.items():
        path = folder / name
        if not path.is_file():
            raise BrokenCheckpointError(f"{path} is missing")
        if path.stat().st_size != size:
            raise BrokenCheckpointError(f"{path} has {path.stat().st_size} bytes, expected {size}")
    for name, (_, digest) in files.items():
        if _hash(folder / name) != digest:
            raise BrokenCheckpointError(f"{folder / name} was changed after it was written")
    unknown = sorted(set(files_of(folder)) - set(files))
    if unknown:
        raise BrokenCheckpointError(f"{folder / unknown[0]} is not part of the checkpoint")
    return manifest


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

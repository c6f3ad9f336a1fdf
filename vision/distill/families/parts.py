"""The parts of a teacher that a student keeps, in another folder."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path


def copy_parts(source: Path, target: Path, names: Sequence[str]) -> None:
    """Copies a pipeline's index, licence and the folders of some parts.

    Weights are hard-linked where the file system allows it: they take no room, and no memory.

    Args:
        source: the pipeline's folder.
        target: an existing folder.
        names: parts; those without a folder are left out.
    """
    shutil.copyfile(source / "model_index.json", target / "model_index.json")
    for path in source.glob("LICENSE*"):
        shutil.copyfile(path, target / path.name)
    for name in names:
        for path in sorted(path for path in (source / name).rglob("*") if path.is_file()):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".safetensors":
                _link(path.resolve(), copy)
            else:
                shutil.copyfile(path, copy)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(source, target)

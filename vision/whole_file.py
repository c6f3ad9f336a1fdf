"""Files and folders that appear whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Gives a name beside ``path`` to write to, and renames it to ``path`` at the end of the block.

    A reader, also in another process, sees the old file or the new one; writers do not disturb each other.
    Where the block raises, what was there stays, and nothing is left behind. The folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def folder_written_aside(path: Path) -> Iterator[Path]:
    """Gives a new folder beside ``path`` to fill, which takes the place of ``path`` at the end of the block.

    Where the block raises, what was there stays. One process writes a folder at a time; what a killed one
    left is cleared away by the next.
    """
    new, old = path.with_name(f".{path.name}.new"), path.with_name(f".{path.name}.old")
    if old.exists() and not path.exists():  # killed between the two renamings below
        old.rename(path)
    for leftover in (new, old):
        if leftover.exists():
            shutil.rmtree(leftover)
    new.mkdir(parents=True)
    try:
        yield new
        if path.exists():
            path.rename(old)
        new.rename(path)
    except BaseException:
        shutil.rmtree(new)
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)

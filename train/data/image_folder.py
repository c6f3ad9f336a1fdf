"""Pictures of a folder with captions: a list in JSONL, or a text file beside each picture."""

import json
import warnings
from pathlib import Path

from train.data.captioned_picture import CaptionedPicture, PictureListing
from vision.media.image import READABLE_SUFFIXES

LIST_NAME = "metadata.jsonl"


def read_image_folder(folder: Path | str) -> PictureListing:
    """Lists the pictures of a folder and its subfolders.

    With a ``metadata.jsonl`` in the folder that list counts, and a warning says how many pictures it leaves
    out. Without one, the caption of ``boot.png`` is the content of ``boot.txt``.

    Raises:
        ValueError: no such folder, no picture in it, or a list that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of pictures; check the path")
    paths = sorted(
        (path for path in folder.rglob("*") if path.suffix.lower() in READABLE_SUFFIXES and path.is_file()),
        key=lambda path: path.relative_to(folder).as_posix(),
    )
    if (folder / LIST_NAME).is_file():
        listing = read_image_list(folder / LIST_NAME)
        listed = {Path(picture.name).resolve() for picture in listing.pictures}
        rest = [path for path in paths if path.resolve() not in listed]
        if rest:
            warnings.warn(
                f"{folder / LIST_NAME} leaves out {len(rest)} of {len(paths)} pictures, {rest[0]} for one",
                stacklevel=2,
            )
        return listing
    if not paths:
        raise ValueError(f"{folder} holds no pictures; expected files like .png or .jpg, or {LIST_NAME}")
    listing = PictureListing([], [])
    for path in paths:
        try:
            caption = path.with_suffix(".txt").read_text("utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
            listing.bad.append(f"{path}: its caption {path.with_suffix('.txt').name}: {reason}")
            continue
        _add(listing, path, caption)
    return listing


def read_image_list(path: Path | str) -> PictureListing:
    """Lists the pictures of a JSONL file with ``{"file_name": ..., "text": ...}`` on each line.

    Args:
        path: the list; file names are relative to its folder.

    Raises:
        ValueError: the list cannot be read, is empty, or has a line of another form.
    """
    path = Path(path)
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"the list of pictures {path} cannot be read: {reason}") from error
    listing = PictureListing([], [])
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} of {path} is not JSON ({error.msg})") from error
        fields = record if isinstance(record, dict) else {}
        name, caption = fields.get("file_name"), fields.get("text")
        if not isinstance(name, str) or not isinstance(caption, str):
            raise ValueError(f'line {number} of {path} needs texts "file_name" and "text"; found {line[:80]}')
        _add(listing, path.parent / name, caption.strip())
    if not listing.pictures and not listing.bad:
        raise ValueError(f"the list of pictures {path} is empty")
    return listing


def _add(listing: PictureListing, path: Path, caption: str) -> None:
    if caption:
        listing.pictures.append(CaptionedPicture(str(path), caption, path.read_bytes))
    else:
        listing.bad.append(f"{path}: its caption is empty")

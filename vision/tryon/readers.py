"""Samples for try-on of an index, or of ViViD as CatV2TON lays it out."""

import json
import operator
from pathlib import Path

from vision.media.bad_item import BadItemError
from vision.tryon.index import INDEX_NAME, SampleRecord, read_index
from vision.tryon.sample import TryOnSample

_VIVID_PARTS = ("upper_body", "lower_body", "dresses")


def find_indexes(root: Path | str) -> list[Path]:
    """The indexes of a data set: ``meta.jsonl`` in its folder, or in each folder in it; or ``root`` itself.

    Raises:
        ValueError: there is none.
    """
    root = Path(root)
    if root.suffix == ".jsonl":
        return [root]
    found = [root / INDEX_NAME] if (root / INDEX_NAME).is_file() else sorted(root.glob(f"*/{INDEX_NAME}"))
    if not found:
        raise ValueError(
            f"{root} holds no {INDEX_NAME}, nor does a folder in it; an index has a line of JSON a sample"
        )
    return found


def read_samples(root: Path | str, split: str | None = None) -> list[TryOnSample]:
    """The samples of a data set's indexes.

    Args:
        root: see :func:`find_indexes`.
        split: only those of it; None for all.

    Raises:
        ValueError: there is no index, a line of it is damaged, or no sample is left.
    """
    samples = []
    for index in find_indexes(root):
        for found in read_index(index):
            if isinstance(found, BadItemError):
                raise found
            if split is None or found.split == split:
                samples.append(TryOnSample(found, index.parent))
    if not samples:
        raise ValueError(f"{root} has no sample of the split {split!r}")
    return samples


def read_vivid(root: Path | str, listed: Path | str, inverted: bool = False) -> list[TryOnSample]:
    """The samples of a list of ViViD, as CatV2TON lays it out.

    Videos lie in ``<part>/videos``, garments in ``<part>/images``, masks in ``<part>/agnostic_mask_smoothed``
    where it exists, else in ``<part>/agnostic_mask``, poses in ``<part>/densepose``; the parts are
    upper_body, lower_body and dresses. There are no captions and no hands. A line of the list is {"video",
    "image", "front_seqs": [first frame, frame after the last], "subdir"}; unpaired lists have the garment
    that is worn as "paired_image".

    Args:
        root: the folder with the parts.
        listed: the list, a line of JSON a sample.
        inverted: whether masks are black where pixels are to be generated.

    Raises:
        ValueError: the list is missing or damaged; where, is told.
    """
    root, listed = Path(root), Path(listed)
    try:
        lines = [line for line in listed.read_text("utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise ValueError(f"{listed}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{listed} is no text in UTF-8 ({error})") from error
    samples = []
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
            part, video, image = content["subdir"], content["video"], content["image"]
            first, end = map(operator.index, content["front_seqs"])
            if not (isinstance(video, str) and isinstance(image, str)):
                raise TypeError(f"video {video!r} or image {image!r} is no text")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{listed}, line {number}: {type(error).__name__} {error}; expected "
                '{"video", "image", "front_seqs": [first, end], "subdir"}'
            ) from error
        if part not in _VIVID_PARTS:
            raise ValueError(f"{listed}, line {number}: subdir {part!r}, expected {', '.join(_VIVID_PARTS)}")
        if not 0 <= first < end:
            raise ValueError(
                f"{listed}, line {number}: front_seqs {[first, end]}, expected first < end from 0"
            )
        smooth = root / part / "agnostic_mask_smoothed" / video
        masks = "agnostic_mask_smoothed" if smooth.is_file() else "agnostic_mask"
        record = SampleRecord(
            id=Path(video).stem.removesuffix("_detail"),
            video=f"{part}/videos/{video}",
            garment=f"{part}/images/{image}",
            mask=f"{part}/{masks}/{video}",
            pose=f"{part}/densepose/{video}",
            split=listed.stem,
        )
        samples.append(TryOnSample(record, root, (first, end), inverted))
    if not samples:
        raise ValueError(f"{listed} is empty")
    return samples

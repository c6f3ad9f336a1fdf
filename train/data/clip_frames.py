"""Frames of clips: decoded once, then mapped from disk.

Legend: T frames, H height, W width.
"""

import hashlib
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from train.data.bad_samples import report_bad
from vision.latents.identity import hash_json
from vision.media import read_video, resize_and_crop, to_image
from vision.media.video import UnreadableVideoError
from vision.processes import process_state
from vision.whole_file import written_aside
from vision.world.bad_clip import BadClipError
from vision.world.crossfps import VIDEO_NAME, find_clips, read_clip

#: Raised whenever what is done to frames before they are kept changes: older files are left alone.
CODE_VERSION = 1


def clip_frames(
    root: Path | str,
    *,
    frames: int,
    height: int,
    width: int,
    cache: Path | str,
    layout: Literal["crossfps", "videos"] = "crossfps",
    least: int = 1,
    max_bad_share: float = 0.0,
) -> list[np.ndarray]:
    """The frames of all clips below a folder, in the order of their names.

    Those of a clip lie in a ``.npy`` file, named by a hash of the video, the size and the version of this
    code. They are mapped, so that data larger than memory can be read at random.

    Args:
        root: the folder.
        frames: of a clip, at most; T is the largest 4n + 1 that the clip has.
        height, width: H and W in pixels.
        cache: folder of the files.
        layout: ``crossfps`` wants controls beside each video, ``videos`` only folders with a video.
        least: frames that a clip must have to be used.
        max_bad_share: largest share of clips that cannot be used; these are left out and reported.

    Returns:
        uint8 of shape (T, H, W, 3) each.

    Raises:
        ValueError: there are no clips, more are bad, or none is good; the message names them.
    """
    clips = find_clips(root) if layout == "crossfps" else _video_folders(Path(root))
    state = process_state()
    # Each process begins at its own place, and finds most of the others' share done when it gets there.
    start = state.process_index * len(clips) // state.num_processes
    found: dict[int, np.ndarray] = {}
    bad: dict[int, str] = {}
    order = [*range(start, len(clips)), *range(start)]
    for number in tqdm(order, "frames", disable=not state.is_main_process, delay=2, leave=False):
        try:
            pixels = _through_cache(clips[number], frames, height, width, Path(cache), layout)
        except BadClipError as error:
            bad[number] = str(error)
            continue
        if len(pixels) < least:
            bad[number] = f"{clips[number]}: {len(pixels)} frames, expected at least {least}"
            continue
        found[number] = pixels
    report_bad("clips", [bad[number] for number in sorted(bad)], len(found), max_bad_share)
    return [found[number] for number in sorted(found)]


def _through_cache(clip: Path, frames: int, height: int, width: int, cache: Path, layout: str) -> np.ndarray:
    try:
        content = (clip / VIDEO_NAME).read_bytes()
    except OSError as error:
        raise BadClipError("unreadable", f"{clip / VIDEO_NAME}: {error.strerror}") from error
    key = hash_json(
        [hashlib.blake2b(content, digest_size=16).hexdigest(), frames, height, width, CODE_VERSION]
    )
    path = cache / key[:2] / f"{key}.npy"
    try:
        return _mapped(path, height, width)
    except FileNotFoundError:
        pass
    except (ValueError, EOFError) as error:
        warnings.warn(f"{path} is damaged ({error}). Decoding {clip} anew", stacklevel=2)
    if layout == "crossfps":
        pixels = read_clip(clip, frames).frames(height, width).numpy()
    else:
        pixels = _video_frames(clip / VIDEO_NAME, frames, height, width)
    with written_aside(path) as aside:
        np.save(aside, pixels, allow_pickle=False)
    return _mapped(path, height, width)


def _video_folders(root: Path) -> list[Path]:
    found = sorted(path.parent for path in root.rglob(VIDEO_NAME))
    if not found:
        raise ValueError(f"{root} holds no clips; expected folders with {VIDEO_NAME}")
    return found


def _video_frames(path: Path, frames: int, height: int, width: int) -> np.ndarray:
    try:
        pixels, _ = read_video(path)
    except UnreadableVideoError as error:
        raise BadClipError("unreadable", str(error)) from error
    kept = (min(frames, pixels.shape[1]) - 1) // 4 * 4 + 1
    sized = [resize_and_crop(to_image(frame), height, width) for frame in pixels[:, :kept].unbind(1)]
    return np.stack([np.asarray(picture) for picture in sized])


def _mapped(path: Path, height: int, width: int) -> np.ndarray:
    """The array of a file; ValueError or EOFError where it is not whole."""
    pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (height, width, 3):
        raise ValueError(f"it holds {pixels.dtype} of shape {pixels.shape}")
    return pixels

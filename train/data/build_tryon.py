"""Makes the batches of a try-on's data recipe.

Legend: T frames of video, F latent frames, C channels, H height, W width in pixels.
"""

import hashlib
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from train.data.bad_samples import report_bad
from train.data.batches import Batches
from train.data.encoded_prompts import EncodedPrompts, encode_through_cache
from train.data.order import EpochOrder
from train.data.tensor_table import TensorTable
from train.data.tryon_clips import Shown, TryOnClips
from train.recipes.tryon_data import TryOnClipsRecipe, TryOnDataRecipe
from vision.latents import autoencoder_identity, encode, spatial_factor
from vision.latents.identity import hash_json
from vision.latents.tensor_file import DamagedFileError, read_tensors, write_tensors
from vision.media.bad_item import BadItemError
from vision.media.video import UnreadableVideoError, frame_count
from vision.processes import process_state
from vision.text import TokenEncoder
from vision.tryon.actions import overlapping
from vision.tryon.captions import check_captions
from vision.tryon.clip import make_clip
from vision.tryon.control import control_latents
from vision.tryon.readers import read_samples, read_vivid
from vision.tryon.sample import Conditions, TryOnSample
from vision.tryon.sample_inputs import mirrored_text, sample_inputs, timed_actions
from vision.tryon.segments import RATE, cut_into_segments
from vision.tryon.timing import Timing

#: Raised whenever what is done to samples before they are kept changes: older files are left alone.
CODE_VERSION = 1
_FILES = ("video", "mask", "pose", "hand", "garment")


def samples_of(clips: TryOnClipsRecipe) -> list[TryOnSample]:
    """The samples of a recipe.

    Raises:
        ValueError: there are none, or an index or list is damaged.
    """
    if clips.list is not None:
        return read_vivid(clips.path, clips.list, clips.mask_inverted)
    return read_samples(clips.path, clips.split)


def build_tryon(
    data: TryOnDataRecipe,
    *,
    vae: Any,
    split_context: bool,
    text: tuple[Any, Any],
    max_prompt_tokens: int,
    timing: Timing | None,
    cache: Path | str,
    seed: int,
    also: list[str],
) -> tuple[Batches, EncodedPrompts]:
    """Batches as :class:`train.data.tryon_clips.TryOnClips` gives them, and the embeddings of their texts.

    Args:
        data: where samples are and what is cut from them.
        vae: as for :func:`vision.latents.encode`, on the device that is to make the latents.
        split_context: whether the context is encoded in two parts.
        text: tokenizer and text encoder.
        max_prompt_tokens: to which prompts are padded and cut; captions of actions must not be longer.
        timing: how captions are tied to their time; None for a network without a guider.
        cache: folder of latents and embeddings.
        seed: of the order and of mirroring.
        also: further texts whose embeddings are wanted.

    Raises:
        ValueError: no samples, too many bad ones, a caption that is too long.
    """
    latents, windows, lost = _prepared(data, vae, split_context, Path(cache) / "latents")
    if lost:
        warnings.warn(
            f"{lost} actions have the most frames of no latent frame and are left out; give them at least 4 "
            "frames",
            stacklevel=2,
        )
    shown = [one for variants in windows for one in variants]
    captions = [caption for one in shown for _, _, caption in one.segments]
    check_captions(text[0], dict.fromkeys(captions), max_prompt_tokens)
    encoder = TokenEncoder(*text, max_prompt_tokens)
    prompts = ["", *(one.prompt for one in shown), *captions, *also]
    texts = EncodedPrompts(prompts, encode_through_cache(prompts, encoder, Path(cache) / "prompts"), encoder)
    clips = TryOnClips(latents, windows, texts, timing, seed)
    return Batches(clips, EpochOrder(len(clips)), seed), texts


def _prepared(
    data: TryOnDataRecipe, vae: Any, split_context: bool, cache: Path
) -> tuple[TensorTable, list[tuple[Shown, ...]], int]:
    """Makes or finds the latents of every window; a sample that cannot be used is left out and reported.

    Returns:
        Latents, windows with their mirror images, and how many actions are too short for a latent frame.
    """
    state = process_state()
    samples, identity = samples_of(data), autoencoder_identity(vae)
    # Each process begins at its own place, and finds most of the others' share done when it gets there.
    start = state.process_index * len(samples) // state.num_processes
    table = TensorTable()
    found: dict[int, list[tuple[Shown, ...]]] = {}
    bad: dict[int, str] = {}
    lost = 0
    order = [*range(start, len(samples)), *range(start)]
    for number in tqdm(order, "latents", disable=not state.is_main_process, delay=2, leave=False):
        try:
            windows = _Windows(samples[number], data, vae, split_context, identity, cache)
            made = [
                {mirrored: windows.latents(first, mirrored) for mirrored in windows.variants}
                for first in windows.firsts
            ]
            segments = [windows.segments(first) for first in windows.firsts]
        except (BadItemError, UnreadableVideoError) as error:
            bad[number] = str(error)
            continue
        lost += sum(count for _, count in segments)
        found[number] = []
        for place, (variants, (cut, _)) in enumerate(zip(made, segments, strict=True)):
            for mirrored, (path, tensors) in variants.items():
                table.put((number, place, mirrored), tensors, path)
            caption = samples[number].record.caption
            plain = Shown((number, place, False), caption, cut)
            mirror = Shown(
                (number, place, True),
                mirrored_text(caption),
                [(begin, end, mirrored_text(said)) for begin, end, said in cut],
            )
            found[number].append((plain, mirror) if True in variants else (plain,))
    report_bad("samples", [bad[number] for number in sorted(bad)], len(found), data.max_bad_share)
    if data.actions and (count := sum(overlapping(samples[number].record.actions) for number in found)):
        warnings.warn(
            f"actions overlap in {count} samples; they are split, and their captions joined by 'and'",
            stacklevel=3,
        )
    return table, [window for number in sorted(found) for window in found[number]], lost


class _Windows:
    """One sample on its way into the cache; its files are decoded once, where latents are missing."""

    def __init__(
        self,
        sample: TryOnSample,
        data: TryOnDataRecipe,
        vae: Any,
        split_context: bool,
        identity: str,
        cache: Path,
    ) -> None:
        self._sample, self._data, self._vae, self._split_context = sample, data, vae, split_context
        self._identity, self._cache = identity, cache
        path = sample.path("video")
        assert path is not None
        if sample.frames is None:
            self._count = frame_count(path)
        else:  # of which whole groups are read
            self._count = (sample.frames[1] - sample.frames[0] - 1) // RATE * RATE + 1
        if self._count < data.frames:
            raise BadItemError(
                "too short",
                f"{sample.record.id}: {self._count} frames, expected at least {data.frames} (data.frames)",
            )

    @property
    def firsts(self) -> range:
        """First frames of the windows."""
        room = self._count - self._data.frames + 1
        return range(0, room, self._data.stride or room)

    @property
    def variants(self) -> tuple[bool, ...]:
        """Whether each is mirrored."""
        return (False, True) if self._data.flip else (False,)

    def segments(self, first: int) -> tuple[list[tuple[int, int, str]], int]:
        """Actions and gaps of a window, and how many actions get no latent frame."""
        window = (first, first + self._data.frames)
        actions = timed_actions(self._sample, self._count, window)
        cut, lost = cut_into_segments(actions if self._data.actions else [], self._data.frames)
        return cut, len(lost)

    def latents(self, first: int, mirrored: bool) -> tuple[Path, dict[str, Tensor]]:
        """The file of a window's latents, and what it holds."""
        data, sample = self._data, self._sample
        cut = (sample.frames, sample.inverted, first, data.frames, data.height, data.width, mirrored)
        key = hash_json([self._contents, cut, self._split_context, self._identity, CODE_VERSION])
        path = self._cache / key[:2] / f"{key}.safetensors"
        try:
            return path, read_tensors(path)[0]
        except FileNotFoundError:
            pass
        except DamagedFileError as error:
            warnings.warn(f"{error}. Computing these latents anew", stacklevel=2)
        tensors = self._encoded(first, mirrored)
        write_tensors(path, tensors, {"key": key})
        return path, tensors

    @torch.no_grad()
    def _encoded(self, first: int, mirrored: bool) -> dict[str, Tensor]:
        data, factor = self._data, spatial_factor(self._vae)
        inputs = sample_inputs(
            self._sample,
            self._pixels,
            (data.height, data.width),
            (first, first + data.frames),
            mirrored,
        )
        try:
            clip = make_clip(**inputs, multiples=(factor, factor))
        except ValueError as error:
            raise BadItemError("sample", f"{self._sample.record.id}: {error}") from error
        parts = (clip.video, clip.mask, clip.pose, clip.garment)
        tensors = {
            "latents": encode(self._vae, clip.video),
            "control": control_latents(self._vae, *parts, split=self._split_context),
            "hands": encode(self._vae, clip.hands),
        }
        return {name: value[0].cpu() for name, value in tensors.items()}

    @cached_property
    def _pixels(self) -> Conditions:
        return self._sample.load()

    @cached_property
    def _contents(self) -> list[str | None]:
        """A hash of each file, None where there is none."""
        paths = [self._sample.path(name) for name in _FILES]
        try:
            return [None if path is None else _content(path) for path in paths]
        except OSError as error:
            raise BadItemError("unreadable", f"{self._sample.record.id}: {error}") from error


def _content(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()

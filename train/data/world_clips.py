"""Windows of recorded clips: their latents, through the cache, and their rows of actions.

Legend: N windows, B windows of a batch, C channels, F latent frames, H height, W width, T frames of video
and rows of actions.
"""

import hashlib
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from train.data.bad_samples import report_bad
from train.data.batches import Batches
from train.data.item import Item
from train.data.latent_rows import CachedRows, LatentRows
from train.data.order import EpochOrder
from train.data.tensor_table import TensorTable
from train.recipes.world_data import WorldDataRecipe
from vision.latents import LatentCache, temporal_factor
from vision.latents.identity import hash_json
from vision.processes import process_state
from vision.transformer import Actions
from vision.transformer.action_input import RATE
from vision.world.bad_clip import BadClipError
from vision.world.crossfps import VIDEO_NAME, CrossFPSClip, find_clips, read_clip


class WorldClips:
    """Gives ``{"latents": (C, F, H, W), "sticks": (T, 4), "buttons": (T, 6)}`` for each window.

    Args:
        latents: one row a window.
        actions: one sample of rows a window.
    """

    def __init__(self, latents: LatentRows, actions: Sequence[Actions]) -> None:
        self.latents, self.actions = latents, actions

    def __len__(self) -> int:
        return len(self.latents)

    def __getitem__(self, item: Item) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.batch([item]).items()}

    def batch(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """The windows of several items, batch first."""
        rows = [self.actions[item.index] for item in items]
        return {
            "latents": self.latents.batch([item.index for item in items]),
            "sticks": torch.cat([row.sticks for row in rows]),
            "buttons": torch.cat([row.buttons for row in rows]),
        }


def build_world(data: WorldDataRecipe, *, vae: Any, cache: Path | str, seed: int) -> Batches:
    """Batches of a data recipe: ``"latents"`` (B, C, F, H, W), ``"sticks"`` and ``"buttons"`` (B, T, .).

    Row t of a window's actions leads from its frame t to its frame t + 1, as in the clip. A window is encoded
    by itself, since its first frame stands alone in the latents; what was before it is not known to it.

    Args:
        data: where the clips are and what is cut from them.
        vae: as for :func:`vision.latents.encode`, with four frames a latent frame; on the device that is to
            make the latents.
        cache: folder of latents.
        seed: of the order.

    Raises:
        ValueError: no clips, too many bad ones, or an autoencoder with another rate.
    """
    if temporal_factor(vae) != RATE:
        raise ValueError(
            f"the autoencoder makes one latent frame of {temporal_factor(vae)} frames, expected {RATE}, as "
            "rows of actions are grouped; give a video autoencoder with that rate as model.vae"
        )
    dataset = _prepared(data, LatentCache(Path(cache) / "latents", vae))
    return Batches(dataset, EpochOrder(len(dataset)), seed)


def windows_of(clip_frames: int, data: WorldDataRecipe) -> range:
    """First frames of the windows of a clip with so many frames; all are multiples of four."""
    room = clip_frames - data.frames + 1
    return range(0, room, data.stride or room)


def read_world_clip(folder: Path, data: WorldDataRecipe) -> CrossFPSClip:
    """A clip as a data recipe wants it.

    Raises:
        BadClipError: it cannot be used, for instance because it is shorter than a window.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*frames of the .* asked for")  # windows are cut to fit
        clip = read_clip(folder, data.used_frames, data.forward_sign)
    if len(clip.sticks) < data.frames:
        raise BadClipError(
            "too short", f"{folder}: {len(clip.sticks)} frames, expected at least {data.frames} (data.frames)"
        )
    return clip


def _prepared(data: WorldDataRecipe, cache: LatentCache) -> WorldClips:
    """Makes or finds the latents of every window; a clip that cannot be read is left out and reported."""
    state = process_state()
    clips = find_clips(data.path)
    # Each process begins at its own place, and finds most of the others' share done when it gets there.
    start = state.process_index * len(clips) // state.num_processes
    table = TensorTable()
    actions: dict[int, list[Actions]] = {}
    bad: dict[int, str] = {}
    order = [*range(start, len(clips)), *range(start)]
    for number in tqdm(order, "latents", disable=not state.is_main_process, delay=2, leave=False):
        try:
            clip = _Clip(clips[number], data)
            found = [(path, cache.encoded(path, part)) for path, part in clip.windows(cache)]
        except BadClipError as error:
            bad[number] = str(error)
            continue
        for place, (path, latents) in enumerate(found):
            table.put((number, place), {"latents": latents}, path)
        actions[number] = clip.actions
    report_bad("clips", [bad[number] for number in sorted(bad)], len(actions), data.max_bad_share)
    keys = [(number, place) for number in sorted(actions) for place in range(len(actions[number]))]
    return WorldClips(CachedRows(table, keys), [actions[number][place] for number, place in keys])


class _Clip:
    """One clip on its way into the cache; its video is decoded once, and only where latents are missing."""

    def __init__(self, folder: Path, data: WorldDataRecipe) -> None:
        self._data = data
        self._read = read_world_clip(folder, data)
        self._firsts = windows_of(len(self._read.sticks), data)

    @property
    def actions(self) -> list[Actions]:
        whole = Actions(self._read.sticks[None], self._read.buttons[None])
        return [whole.rows(first, first + self._data.frames) for first in self._firsts]

    def windows(self, cache: LatentCache) -> list[tuple[Path, Any]]:
        """Of each window the file of its latents, and what gives its pixels."""
        data = self._data
        content = hashlib.blake2b((self._read.folder / VIDEO_NAME).read_bytes(), digest_size=16).hexdigest()
        return [
            (
                cache.path(hash_json([content, first, data.frames]), 3, data.height, data.width),
                lambda first=first: self._pixels[:, first : first + data.frames],
            )
            for first in self._firsts
        ]

    @cached_property
    def _pixels(self) -> Tensor:
        """All used frames, uint8, shape (3, T, H, W)."""
        return self._read.frames(self._data.height, self._data.width).permute(3, 0, 1, 2)

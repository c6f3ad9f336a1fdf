"""Streams a causal world for a long time beside the engine.

Legend: W worlds, T frames, H height, w width.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.world.settings import UNSEEN, Settings
from vision.latents import DecodeStream
from vision.latents.cache import to_unit_range
from vision.transformer import Actions
from vision.world.evaluation.drift import (
    BIN,
    displacement,
    distance,
    frame_features,
    saturation,
    sharpness,
)
from vision.world.evaluation.drift_truth import TURN_ROWS, DriftTruth, drift_truth, turn_rows
from vision.world.evaluation.maker import to_frames
from vision.world.pipeline import WorldPipeline
from vision.world.stream import WorldStream


def measured_drift(
    pipeline: WorldPipeline, settings: Settings, size: tuple[int, int], truth_folder: Path
) -> dict[str, Any]:
    """Bins of 100 frames of streams under a random policy, and what the right stick does late in them.

    Returns:
        ``bins``: ``first`` and ``last`` frame, ``distance`` from recorded frames, ``saturated`` (share of
        values) and ``sharpness`` (to that of the recorded frames), and ``recorded_...``, the same of the
        engine's frames of the same starts. ``turning``: ``at`` which frame the stick is held to either side,
        ``sign`` the share of worlds and sides whose picture moves as it says, ``difference`` between both
        sides in the last four frames, and ``engine_...``, the same of the engine.
    """
    chunk = pipeline.transformer.causality.chunk
    frames = 4 * (settings.drift_chunks * chunk - 1) + 1
    turn_at = 4 * (max(1, int(0.9 * settings.drift_chunks)) * chunk - 1)
    truth = drift_truth(truth_folder, UNSEEN, settings.drift_worlds, frames, turn_at, size)
    made, turned = _streamed(pipeline, truth)
    return {"bins": _bins(made, truth), "turning": _turning(turned, truth)}


@torch.no_grad()
def _streamed(pipeline: WorldPipeline, truth: DriftTruth) -> tuple[np.ndarray, np.ndarray]:
    """A world's frames, as those of the truth, and its ``turned``."""
    first = to_unit_range(torch.from_numpy(truth.frames[:, 0])).permute(0, 3, 1, 2)
    generators = [torch.Generator().manual_seed(number) for number in range(len(first))]
    stream, decoder = WorldStream(pipeline, first, generator=generators), DecodeStream(pipeline.vae)
    actions = Actions(torch.from_numpy(truth.sticks), torch.from_numpy(truth.buttons))
    made: list[np.ndarray] = []
    turned = np.empty(0)
    # The last row leads to no frame.
    while stream.rows_used < actions.sticks.shape[1] - 1:
        least = stream.rows_wanted[0]  # so that a row is given with the frame that it leads to
        made += _advanced(stream, decoder, actions.rows(stream.rows_used, stream.rows_used + least))
        if sum(len(part[0]) for part in made) == truth.turn_at + 1:
            now = made[-1][:, -1:]
            sides = [_turned(stream, decoder, side) for side in (-1, 1)]
            turned = np.stack([np.concatenate([now, *side], 1) for side in sides], 1)
    return np.concatenate(made, 1), turned


def _turned(stream: WorldStream, decoder: DecodeStream, side: int) -> list[np.ndarray]:
    # A decoder replaces its memory and never changes it, so that a copy goes on by itself.
    fork, own_decoder = stream.fork(), copy.copy(decoder)
    held = [torch.from_numpy(rows).expand(stream.batch_size, -1, -1) for rows in turn_rows(side)]
    rows, made, used = Actions(*held), [], 0
    while used < TURN_ROWS:
        more = min(TURN_ROWS - used, fork.rows_wanted[0])
        made += _advanced(fork, own_decoder, rows.rows(used, used + more))
        used += more
    return made


def _advanced(stream: WorldStream, decoder: DecodeStream, rows: Actions) -> list[np.ndarray]:
    """Frames of the next chunk, uint8, (W, 1 or 4, H, w, 3) for each latent frame."""
    latents = stream.advance(rows)
    return [(255 * to_frames(decoder(part))).round().astype(np.uint8) for part in latents.split(1, dim=2)]


def _bins(made: np.ndarray, truth: DriftTruth) -> list[dict[str, float]]:
    reference = truth.reference.reshape(-1, truth.reference.shape[-1])
    recorded_sharpness = sharpness(_flat(truth.frames))
    found = []
    for first in range(0, made.shape[1], BIN):
        part = slice(first, min(first + BIN, made.shape[1]))
        if first and part.stop - first < BIN // 2:
            continue
        place: dict[str, float] = {"first": first, "last": part.stop - 1}
        for name, source in (("", made), ("recorded_", truth.frames)):
            frames = _flat(source[:, part])
            place[f"{name}distance"] = distance(frame_features(frames), reference)
            place[f"{name}saturated"] = saturation(frames)
            place[f"{name}sharpness"] = sharpness(frames) / recorded_sharpness
        found.append(place)
    return found


def _turning(turned: np.ndarray, truth: DriftTruth) -> dict[str, float]:
    found: dict[str, float] = {"at": int(truth.turn_at)}
    for name, clips in (("", turned), ("engine_", truth.turned)):
        # The turn is seen from the second frame on.
        moved = np.array([[displacement(side[1:]) for side in world] for world in clips])
        found[f"{name}sign"] = float((np.sign(moved) == (-1, 1)).mean())
        last = clips[:, :, -4:].astype(np.float32) / 255
        found[f"{name}difference"] = float(np.abs(last[:, 1] - last[:, 0]).mean())
    return found


def _flat(frames: np.ndarray) -> np.ndarray:
    return frames.reshape(-1, *frames.shape[2:])

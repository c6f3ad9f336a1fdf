"""The engine's own long plays, beside which a world's streams are put.

Legend: W worlds, T frames and rows, R plays of the reference, H height, w width, D features.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch

from vision.latents.identity import hash_json
from vision.latents.tensor_file import read_tensors, write_tensors
from vision.world.evaluation.truth_settings import TruthSettings

#: Rows that both ways of a turn are held for: three latent frames.
TURN_ROWS = 12
#: How far the stick is held to either side.
TURN = 0.5
#: Plays of the reference to one of the worlds.
_REFERENCE = 2


@dataclass(frozen=True)
class DriftTruth:
    """Plays of a random policy on one split.

    Attributes:
        frames: uint8, shape (W, T, H, w, 3): what the engine shows; a world is given the first frame.
        sticks: float32, shape (W, T, 4).
        buttons: float32, shape (W, T, 6).
        reference: float32, shape (R, T, D): features of frames of other starts.
        turned: uint8, shape (W, 2, TURN_ROWS + 1, H, w, 3): frames from number ``turn_at`` on, with the right
            stick held to the left and to the right instead.
        turn_at: int64, shape ().
    """

    frames: np.ndarray
    sticks: np.ndarray
    buttons: np.ndarray
    reference: np.ndarray
    turned: np.ndarray
    turn_at: np.ndarray


def drift_truth(
    folder: Path, split: str, worlds: int, frames: int, turn_at: int, size: tuple[int, int]
) -> DriftTruth:
    """The plays, from their file or else played now and written there.

    Args:
        folder: of such files.
        split: one of :data:`vision.world.clip_plan.SPLITS`.
        worlds: W.
        frames: T.
        turn_at: frame from which both turns go on.
        size: H and w.
    """
    settings = TruthSettings(frames=17, height=size[0], width=size[1]).facts()
    asked = {**settings, "worlds": worlds, "long": frames, "turn_at": turn_at}
    path = folder / f"drift-{split}-{hash_json(asked)[:16]}.safetensors"
    names = [field.name for field in fields(DriftTruth)]
    if not path.is_file():
        made = _played(split, worlds, frames, turn_at, size)
        tensors = {name: torch.from_numpy(value) for name, value in asdict(made).items()}
        write_tensors(path, tensors, {"settings": json.dumps(asked)})
    tensors, _ = read_tensors(path)
    return DriftTruth(**{name: tensors[name].numpy() for name in names})


def turn_rows(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (TURN_ROWS, 4) and (TURN_ROWS, 6) with the right stick held to the left (-1) or right (1)."""
    sticks = np.zeros((TURN_ROWS, 4), np.float32)
    sticks[:, 2] = side * TURN
    return sticks, np.zeros((TURN_ROWS, 6), np.float32)


def _played(split: str, worlds: int, frames: int, turn_at: int, size: tuple[int, int]) -> DriftTruth:
    from vision.world.clip_plan import split_maps
    from vision.world.engine import Engine
    from vision.world.evaluation.drift import frame_features
    from vision.world.evaluation.truth_player import Play, at_a_start
    from vision.world.policies import random_walk

    def play(turns: bool) -> Callable[[Play, int], tuple[np.ndarray, ...]]:
        def made(run: Play, seed: int) -> tuple[np.ndarray, ...]:
            sticks, buttons = random_walk(seed, frames)
            sticks[0], buttons[0] = 0, 0
            shown = run(sticks, buttons).frames
            if not turns:
                return (frame_features(shown),)
            forks = []
            for side in (-1, 1):
                rows = [
                    np.concatenate([kept[:turn_at], held, held[-1:]])
                    for kept, held in zip((sticks, buttons), turn_rows(side), strict=True)
                ]
                forks.append(run(*rows).frames[turn_at:])
            return shown, sticks, buttons, np.stack(forks)

        return made

    game, maps = split_maps(split)
    with Engine(game, height=size[0], width=size[1]) as engine:
        own = [at_a_start(engine, maps, (split, "drift", n), play(True)) for n in range(worlds)]
        others = [
            at_a_start(engine, maps, (split, "reference", n), play(False)) for n in range(_REFERENCE * worlds)
        ]
    shown, sticks, buttons, turned = (np.stack(part) for part in zip(*own, strict=True))
    reference = np.stack([features for (features,) in others])
    return DriftTruth(shown, sticks, buttons, reference, turned, np.array(turn_at))

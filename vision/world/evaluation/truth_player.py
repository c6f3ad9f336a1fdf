"""Plays the engine for a truth set.

Legend: T frames and rows, V values of a stick.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from vision.flow.draws import keyed_generator
from vision.world.clip_plan import split_maps
from vision.world.engine import Engine, EpisodeEndedError
from vision.world.evaluation.sticks import VALUES
from vision.world.evaluation.truth_set import ONSET, PRESSES, TruthSet, held_rows
from vision.world.evaluation.truth_settings import TruthSettings
from vision.world.footage import Footage
from vision.world.gamepad import BUTTONS, STICKS
from vision.world.policies import bursts, random_walk

_POLICIES = (random_walk, bursts)
_ATTEMPTS = 20
# Aiming and jumping need a tic more to show; no control needs longer.
_LATEST_PRESS, _EARLIEST_PRESS = ONSET - 1, ONSET - 3
# A pixel must change by so much of 255 for an effect to be called visible.
_VISIBLE = 8

#: Plays rows of sticks (T, 4) and buttons (T, 6) from one start.
Play = Callable[[np.ndarray, np.ndarray], Footage]


def played_truth(split: str, settings: TruthSettings) -> TruthSet:
    """Plays all clips of a split.

    Args:
        split: one of :data:`vision.world.clip_plan.SPLITS`; its maps are played on in turn.
        settings: how much.

    Raises:
        ValueError: no such split, or a size that the engine does not draw.
        RuntimeError: start after start ended before its clips were over.
    """
    game, maps = split_maps(split)
    with Engine(game, height=settings.height, width=settings.width) as engine:

        def gathered(kind: str, count: int, made: Callable[[Play, int], Any]) -> list[Any]:
            return [at_a_start(engine, maps, (settings.seed, split, kind, n), made) for n in range(count)]

        pairs = gathered("pair", settings.starts, lambda play, seed: _pairs(play, seed, settings.frames))
        held = gathered("stick", settings.stick_starts, lambda play, _: _held(play, settings.frames))
    return TruthSet(*(np.stack(part) for part in (*zip(*pairs, strict=True), *zip(*held, strict=True))))


def at_a_start(
    engine: Engine, maps: tuple[str, ...], key: tuple[Any, ...], made: Callable[[Play, int], Any]
) -> Any:
    """What ``made`` plays from a start; from another one where the level ends before that.

    Args:
        engine: to play with.
        maps: names of maps, taken in turn.
        key: what the start is a function of; it ends with the number of the start.
        made: is given a function that plays rows from the start, and the start's seed.

    Raises:
        RuntimeError: start after start ended.
    """
    map_name = maps[key[-1] % len(maps)]
    for attempt in range(_ATTEMPTS):
        seed = int(keyed_generator("truth", *key, attempt).integers(2**32))
        try:
            return made(lambda *rows, seed=seed: engine.play(map_name, seed, *rows), seed)
        except EpisodeEndedError:
            continue
    raise RuntimeError(f"{_ATTEMPTS} starts on {map_name} ended before their clips were over")


def _pairs(play: Play, seed: int, frames: int) -> tuple[np.ndarray, ...]:
    """idle, pressed, sticks, buttons and visible of one start."""
    sticks, buttons = _POLICIES[seed % len(_POLICIES)](seed, frames)
    sticks[0], buttons[:] = 0, 0
    idle = play(sticks, buttons).frames
    pressed, rows, visible = [], [], []
    for button, length in PRESSES.values():
        for first in range(_LATEST_PRESS, _EARLIEST_PRESS - 1, -1):
            others = buttons.copy()
            others[first : first + length, BUTTONS.index(button)] = 1
            shown = play(sticks, others).frames
            change = np.abs(shown.astype(np.int16) - idle).max((1, 2, 3))
            if not change[:ONSET].any() and change[ONSET] >= _VISIBLE:
                break
        else:
            others, shown = buttons, idle
        pressed.append(shown)
        rows.append(others)
        visible.append(others is not buttons)
    return idle, np.stack(pressed), sticks, np.stack(rows), np.array(visible)


def _held(play: Play, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """held and turned of one start."""
    clips = [[play(*held_rows(stick, value, frames)) for value in VALUES] for stick in range(len(STICKS))]
    shown = [[footage.frames for footage in row] for row in clips]
    turned = [[_turned(footage) for footage in row] for row in clips]
    return np.array(shown), np.array(turned, np.float32)


def _turned(footage: Footage) -> np.ndarray:
    """The larger of the turns to the side and up or down since the first frame, degrees (T,)."""
    angle, pitch = footage.state("angle"), footage.state("pitch")
    # Unwrapped, since after a whole turn the view is not what it was: what was between has passed.
    aside = np.abs(np.unwrap(angle, period=360) - angle[0])
    return np.maximum(aside, np.abs(pitch - pitch[0]))

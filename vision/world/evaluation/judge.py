"""All measures of one maker on one truth set.

Legend: N starts of pairs, P kinds of presses, S starts of held sticks, C commanded values, T frames, H, W.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vision.flow.draws import keyed_generator
from vision.world.evaluation import response
from vision.world.evaluation.maker import Maker
from vision.world.evaluation.sticks import COMMANDS, VALUES, stick_score
from vision.world.evaluation.truth_set import PRESSES, TruthSet, held_rows
from vision.world.gamepad import STICKS


@dataclass(frozen=True)
class MadePairs:
    """A maker's clips of the pairs of a truth set.

    Attributes:
        idle: float32, shape (N, T, H, W, 3).
        pressed: by kind of press, the same shape; the same noise as ``idle``.
    """

    idle: np.ndarray
    pressed: dict[str, np.ndarray]


def make_pairs(
    maker: Maker, truth: TruthSet, names: Sequence[str] = tuple(PRESSES), seed: int = 0
) -> MadePairs:
    """Has a maker show the pairs of a truth set.

    Args:
        maker: of the clips.
        truth: what to show.
        names: of the kinds of presses, some of :data:`vision.world.evaluation.truth_set.PRESSES`.
        seed: of the noise.
    """
    seeds = _seeds(seed, "pair", len(truth.idle))
    idle = maker(truth.idle, truth.sticks, np.zeros_like(truth.buttons[:, 0]), seeds)
    pressed = {
        name: maker(truth.pressed[:, place], truth.sticks, truth.buttons[:, place], seeds)
        for place, name in enumerate(PRESSES)
        if name in names
    }
    return MadePairs(idle, pressed)


def judge_pairs(made: MadePairs, truth: TruthSet) -> dict[str, Any]:
    """Measures of the responses to the buttons, for JSON.

    Returns:
        ``psnr`` of the clips without a press, and by kind of press: ``gain``, ``localisation``, ``leakage``,
        ``onset_error``, ``pre_onset_energy``, ``own_truth``, ``psnr_outside`` (see
        :mod:`vision.world.evaluation.response`), ``chance`` (R's share of the pixels), ``left_out`` (pairs in
        which the engine shows nothing), and response by frame, ``curve`` beside the engine's ``true_curve``.
    """
    found: dict[str, Any] = {"psnr": response.psnr_outside(made.idle, _unit(truth.idle)).facts()}
    for place, name in enumerate(PRESSES):
        if name not in made.pressed:
            continue
        kept = truth.visible[:, place]
        if not kept.any():
            found[name] = {"left_out": len(kept)}
            continue
        true_idle, true_pressed = _unit(truth.idle[kept]), _unit(truth.pressed[kept, place])
        idle, pressed = made.idle[kept], made.pressed[name][kept]
        true, change = true_pressed - true_idle, pressed - idle
        measures = {
            "gain": response.response_gain(change, true),
            "localisation": response.localisation(change, true),
            "leakage": response.leakage(change, true),
            "onset_error": response.onset_error(change, true),
            "pre_onset_energy": response.pre_onset_energy(change, true),
            "own_truth": response.own_truth_accuracy(pressed, idle, true_pressed, true_idle),
            "psnr_outside": response.psnr_outside(pressed, true_pressed, response.neighbourhoods(true)),
        }
        found[name] = {measure: pooled.facts() for measure, pooled in measures.items()} | {
            "chance": float(response.regions(true).mean()),
            "left_out": int((~kept).sum()),
            "curve": response.response_curve(change, true).tolist(),
            "true_curve": response.response_curve(true, true).tolist(),
        }
    return found


def judge_sticks(maker: Maker, truth: TruthSet, seed: int = 0) -> dict[str, Any]:
    """Has a maker show clips with held sticks, and measures them, for JSON.

    Args:
        maker: of the clips.
        truth: what to show.
        seed: of the noise.

    Returns:
        By stick ``sign``, ``gain`` and ``left_out``, see :class:`vision.world.evaluation.sticks.StickScore`.
    """
    count, frames = truth.held.shape[0], truth.held.shape[3]
    seeds = _seeds(seed, "stick", count)
    found = {}
    for stick, name in enumerate(STICKS):
        candidates = _unit(truth.held[:, stick])
        clips = []
        for command in COMMANDS:
            rows = held_rows(stick, VALUES[command], frames)
            sticks, buttons = (np.repeat(row[None], count, 0) for row in rows)
            clips.append(maker(truth.held[:, stick, command], sticks, buttons, seeds))
        score = stick_score(np.stack(clips, 1), candidates, truth.turned[:, stick])
        found[name] = {
            "sign": score.sign.facts(),
            "gain": score.gain.facts(),
            "left_out": score.left_out,
        }
    return found


def _seeds(seed: int, kind: str, count: int) -> list[int]:
    return [int(keyed_generator(seed, "noise", kind, n).integers(2**62)) for n in range(count)]


def _unit(frames: np.ndarray) -> np.ndarray:
    return frames.astype(np.float32) / 255

"""Truth sets by the real engine, and the engine judged as if it were a world."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from tiny_evidence import (  # pyright: ignore[reportMissingImports] - of this folder
    streamed_autoencoder,
    world_of,
)

from vision.world.evaluation.judge import judge_pairs, judge_sticks, make_pairs
from vision.world.evaluation.maker import copied_first_frame, through_autoencoder
from vision.world.evaluation.truth_files import truth_set
from vision.world.evaluation.truth_set import ONSET, PRESSES, TruthSet
from vision.world.evaluation.truth_settings import TruthSettings
from vision.world.evaluation.world_maker import WorldMaker
from vision.world.gamepad import BUTTONS, STICKS

LOCAL = ("fire", "reload", "melee", "switch")


def test_pairs_begin_at_rest_and_are_first_seen_where_a_latent_frame_begins(truth: TruthSet) -> None:
    assert truth.pressed.shape == (2, len(PRESSES), 17, 32, 32, 3)
    assert not truth.sticks[:, 0].any() and truth.sticks[:, 1:].any((1, 2)).all()
    assert not truth.buttons[:, :, 0].any() and (ONSET - 1) % 4 == 0
    assert truth.visible[:, [list(PRESSES).index(name) for name in LOCAL]].all()
    for place, (button, length) in enumerate(PRESSES.values()):
        for n in np.flatnonzero(truth.visible[:, place]):
            changed = (truth.pressed[n, place] != truth.idle[n]).any((1, 2, 3))
            assert changed.argmax() == ONSET
            rows = truth.buttons[n, place]
            first = int(rows[:, BUTTONS.index(button)].argmax())
            assert ONSET - 3 <= first <= ONSET - 1
            assert rows.sum() == rows[first : first + length, BUTTONS.index(button)].sum() >= 2


def test_held_sticks_turn_the_view_by_what_the_engine_says(truth: TruthSet) -> None:
    aside = truth.turned[:, STICKS.index("RX")]
    assert (aside[:, :, :2] == 0).all()  # row 0 holds nothing
    assert aside[:, 8, 4] == pytest.approx(36, abs=0.1) and aside[:, 0, 16] == pytest.approx(180, abs=0.5)
    assert (truth.turned[:, STICKS.index("LX")] == 0).all()


def test_the_engine_as_a_world(truth: TruthSet) -> None:
    perfect = through_autoencoder(None)
    found = judge_pairs(make_pairs(perfect, truth), truth)
    for name in PRESSES:
        if "gain" not in found[name]:
            continue
        values = {measure: found[name][measure]["value"] for measure in ("gain", "localisation", "own_truth")}
        assert values == pytest.approx({"gain": 1, "localisation": 1, "own_truth": 1}, abs=1e-5), name
        assert found[name]["onset_error"]["value"] == 0
        assert found[name]["pre_onset_energy"]["value"] == 0
        assert found[name]["leakage"]["value"] in (0, None)  # None where all of the picture changes
        assert found[name]["curve"] == pytest.approx(found[name]["true_curve"], abs=1e-5)
    for score in judge_sticks(perfect, truth).values():
        assert (score["sign"]["value"], score["gain"]["value"]) == (1, pytest.approx(1, abs=1e-4))


def test_the_engine_through_an_autoencoder_is_near_it(truth: TruthSet) -> None:
    """96 of the 192 cosine coefficients of each 4 x 4 x 4 block: a ceiling below 1, not far."""
    blurred = through_autoencoder(streamed_autoencoder(96))
    found = judge_pairs(make_pairs(blurred, truth), truth)
    for name in LOCAL:
        assert 0.8 < found[name]["gain"]["value"] < 1, name
        assert found[name]["leakage"]["value"] < 0.02, name
        assert found[name]["pre_onset_energy"]["value"] == 0, name
        assert found[name]["own_truth"]["value"] == 1, name
        assert found[name]["localisation"]["value"] > 10 * found[name]["chance"], name
    for score in judge_sticks(blurred, truth).values():
        assert (score["sign"]["value"], score["gain"]["value"]) == (1, pytest.approx(1, abs=0.1))


def test_the_first_frame_for_ever_is_the_floor(truth: TruthSet) -> None:
    found = judge_pairs(make_pairs(copied_first_frame, truth), truth)
    for name in LOCAL:
        assert found[name]["gain"]["value"] == 0 and found[name]["own_truth"]["value"] == 0.5
        assert found[name]["localisation"]["value"] == pytest.approx(found[name]["chance"])
        assert found[name]["leakage"]["value"] is None


def test_pairs_without_an_effect_are_counted(truth: TruthSet) -> None:
    visible = truth.visible.copy()
    fire, melee = (list(PRESSES).index(name) for name in ("fire", "melee"))
    visible[0, fire] = visible[:, melee] = False
    parts = {field.name: getattr(truth, field.name) for field in fields(TruthSet)}
    fewer = TruthSet(**{**parts, "visible": visible})
    found = judge_pairs(make_pairs(copied_first_frame, fewer), fewer)
    assert found["fire"]["left_out"] == 1 and found["fire"]["gain"]["count"] == 1
    assert found["melee"] == {"left_out": 2}


@pytest.mark.parametrize("chunk", [None, 1])
def test_a_worlds_clips_depend_on_their_own_seed_alone(truth: TruthSet, chunk: int | None) -> None:
    pipeline = world_of(32, chunk)
    frames, sticks, buttons = truth.pressed[:, 0], truth.sticks, truth.buttons[:, 0]
    seeds = [5, 6]
    both = WorldMaker(pipeline, 2)(frames, sticks, buttons, seeds)
    assert both.shape == frames.shape and both.dtype == np.float32 and 0 <= both.min() <= both.max() <= 1
    np.testing.assert_allclose(WorldMaker(pipeline, 1)(frames, sticks, buttons, seeds), both, atol=1e-5)
    assert np.abs(WorldMaker(pipeline, 2)(frames, sticks, buttons, [5, 7]) - both).max((1, 2, 3, 4))[0] == 0
    idle = WorldMaker(pipeline, 2)(truth.idle, sticks, 0 * buttons, seeds)
    before = np.abs(both - idle)[:, :ONSET].max()
    assert (before == 0) == (chunk is not None)  # a causal world does not know the future
    assert np.abs(both - idle)[:, ONSET:].max() > 0


def test_a_truth_set_is_played_once(tmp_path: Path) -> None:
    settings = TruthSettings(starts=1, stick_starts=1, frames=9, height=16, width=16)
    made = truth_set(tmp_path, "train", settings)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    again = truth_set(tmp_path, "train", settings)
    assert file.stat().st_mtime_ns == written
    for field in fields(TruthSet):
        np.testing.assert_array_equal(getattr(made, field.name), getattr(again, field.name))
        assert getattr(made, field.name).dtype == getattr(again, field.name).dtype


@pytest.mark.parametrize(("wrong", "told"), [({"starts": 0}, "at least 1"), ({"frames": 16}, "4n \\+ 1")])
def test_settings_that_cannot_be_played(wrong: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TruthSettings(**wrong)

"""The real engine: which frame a row of controls changes, determinism, sizes, and exact truth."""

from typing import Any

import numpy as np
import pytest

from vision.world.engine import Engine, EpisodeEndedError
from vision.world.footage import STATE_COLUMNS
from vision.world.gamepad import BUTTONS, STICKS
from vision.world.policies import bursts, random_walk
from vision.world.render_size import fit, render_size
from vision.world.truth import counterfactual, differing, weapon_mask

MAP, SEED, ROWS, PRESSED = "MAP01", 3, 12, 4


def idle(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((rows, 4)), np.zeros((rows, 6))


def pressed(control: str, value: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """One control for one row, in row PRESSED."""
    sticks, buttons = idle()
    if control in STICKS:
        sticks[PRESSED, STICKS.index(control)] = value
    else:
        buttons[PRESSED, BUTTONS.index(control)] = value
    return sticks, buttons


@pytest.mark.parametrize("control", [*STICKS, *BUTTONS])
def test_a_row_changes_the_next_frame_and_none_before(engine: Engine, control: str) -> None:
    for value in (-1.0, 1.0) if control in STICKS else (1.0,):
        still = engine.play(MAP, SEED, *idle())
        moved = engine.play(MAP, SEED, *pressed(control, value))
        changed = np.flatnonzero(differing(still.frames, moved.frames).any((1, 2)))
        # Aiming and jumping may need a tic more to show.
        latest = PRESSED + 2 if control in ("aim", "jump") else PRESSED + 1
        assert PRESSED + 1 <= changed[0] <= latest


def test_sticks_move_as_their_signs_say(engine: Engine) -> None:
    def end(control: str, value: float) -> dict[str, float]:
        footage = engine.play(MAP, SEED, *pressed(control, value))
        return dict(zip(STATE_COLUMNS, footage.states[-1] - footage.states[0], strict=True))

    heading = np.deg2rad(engine.start(MAP, SEED)[1][STATE_COLUMNS.index("angle")])
    forward, right = (np.cos(heading), np.sin(heading)), (np.sin(heading), -np.cos(heading))
    for control, value, axis in (
        ("LX", 1, right),
        ("LX", -1, right),
        ("LY", -1, forward),
        ("LY", 1, forward),
    ):
        moved = end(control, value)
        along = moved["position_x"] * axis[0] + moved["position_y"] * axis[1]
        assert np.sign(along) == (value if control == "LX" else -value)
        assert abs(along) > 5
    assert end("RX", -1)["angle"] == pytest.approx(12, abs=0.1)  # counter-clockwise is to the left
    assert end("RY", -1)["pitch"] == pytest.approx(8, abs=0.1)  # and up is positive


def test_the_sign_of_the_walking_stick_is_a_setting(engine: Engine) -> None:
    sticks, buttons = random_walk(1, ROWS)
    with Engine(height=32, width=32, forward_sign=1) as turned:
        mirrored = turned.play(MAP, SEED, sticks * [1, -1, 1, 1], buttons)
    assert (mirrored.frames == engine.play(MAP, SEED, sticks, buttons).frames).all()


def test_the_seed_and_the_controls_decide_all(engine: Engine) -> None:
    sticks, buttons = bursts(2, 24)
    with Engine(height=32, width=32) as fresh:
        first = fresh.play("MAP07", 5, sticks, buttons)
    for other in ("MAP01", "MAP07"):
        engine.play(other, 6, *random_walk(1, 8))
        again = engine.play("MAP07", 5, sticks, buttons)  # whatever was shown before, walking or not
        assert (again.frames == first.frames).all()
        assert (again.states == first.states).all()
    elsewhere = engine.start("MAP07", 6)[1]
    assert (elsewhere[:2] != first.states[0, :2]).any()


def test_one_button_leaves_the_trajectory_alone(engine: Engine) -> None:
    sticks, buttons = random_walk(4, 16)
    buttons[:] = 0
    presses = np.zeros(16)
    presses[5:9] = 1
    pair = counterfactual(engine, MAP, SEED, sticks, buttons, "fire", presses)
    assert (pair.actual.states == pair.other.states).all()
    assert not pair.changed[:6].any()
    assert pair.changed[6].any()
    assert pair.changed.mean() < 0.2  # the flash, the weapon and where the shot lands
    for button, kept in (("melee", 8), ("reload", 8), ("switch", 6), ("aim", 5)):
        pair = counterfactual(engine, MAP, SEED, sticks, buttons, button, presses)
        assert (pair.actual.states[:, :kept] == pair.other.states[:, :kept]).all(), button
        assert pair.changed.any()
    aimed = counterfactual(engine, MAP, SEED, sticks, buttons, "aim", presses).other
    assert aimed.state("field_of_view").min() < 60 < aimed.state("field_of_view")[0]


def test_counterfactuals_refuse_what_changes_nothing(engine: Engine) -> None:
    sticks, buttons = idle()
    with pytest.raises(ValueError, match="differ"):
        counterfactual(engine, MAP, SEED, sticks, buttons, "fire", buttons[:, 0])
    with pytest.raises(ValueError, match="fire, aim"):
        counterfactual(engine, MAP, SEED, sticks, buttons, "dance", buttons[:, 0])


def test_the_weapon_is_at_the_bottom(engine: Engine, bare_engine: Engine) -> None:
    sticks, buttons = random_walk(5, 20)
    buttons[:] = 0
    footage, mask = weapon_mask(engine, bare_engine, MAP, SEED, sticks, buttons)
    assert footage.frames.shape == (20, 32, 32, 3)
    share = mask.mean((1, 2))
    assert (share > 0.005).all()
    assert (share < 0.15).all()
    assert not mask[:, :12].any()
    middle = mask[:, :, 10:22].sum()
    assert middle > 0.9 * mask.sum()


def test_the_mask_needs_the_same_states(engine: Engine) -> None:
    sticks, buttons = pressed("LY", -1.0)
    with (
        Engine(height=32, width=32, weapon_drawn=False, forward_sign=1) as other,
        pytest.raises(ValueError, match="sign of LY"),
    ):
        weapon_mask(engine, other, MAP, SEED, sticks, buttons)


def test_both_games_at_any_size() -> None:
    with Engine("freedoom1", height=45, width=80) as small:
        assert len(small.maps) == 36
        frame, state = small.start("E1M1", 0)
        assert frame.shape == (45, 80, 3)
        assert state.shape == (len(STATE_COLUMNS),)
        assert state[STATE_COLUMNS.index("on_ground")] == 1


def test_a_level_that_ends_is_told(engine: Engine) -> None:
    engine.start(MAP, SEED)
    engine._engine.send_game_command("changemap MAP02")
    with pytest.raises(EpisodeEndedError, match=MAP):
        engine.step(np.zeros(4), np.zeros(6))
    assert engine.start(MAP, SEED)[0].shape == (32, 32, 3)


def test_wrong_controls_are_refused(engine: Engine) -> None:
    sticks, buttons = idle()
    for bad_sticks, bad_buttons, told in (
        (sticks + 2, buttons, "-1, 1"),
        (sticks * np.nan, buttons, "NaN"),
        (sticks, buttons + 0.5, "0 or 1"),
        (sticks[:, :2], buttons, r"\(T, 4\)"),
        (sticks, buttons[:-1], r"\(T, 6\)"),
    ):
        with pytest.raises(ValueError, match=told):
            engine.play(MAP, SEED, bad_sticks, bad_buttons)
    with pytest.raises(ValueError, match="MAP99"):
        engine.start("MAP99", SEED)
    with pytest.raises(ValueError, match="seed"):
        engine.start(MAP, -1)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"game": "quake"}, "freedoom1, freedoom2"),
        ({"height": 0}, "0 x 64"),
        ({"width": 100_000}, "64 x 100000"),
        ({"forward_sign": 0}, "-1 or 1"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Engine(**settings)


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (120, 160), (480, 832), (200, 90)])
def test_the_picture_drawn_covers_the_size(size: tuple[int, int]) -> None:
    drawn = render_size(*size)
    assert drawn[0] >= size[0]
    assert drawn[1] >= size[1]
    grey = np.full((*drawn, 3), 7, np.uint8)
    assert (fit(grey, *size) == np.full((*size, 3), 7)).all()


def test_averaging_keeps_the_centre() -> None:
    picture = np.zeros((120, 160, 3), np.uint8)
    picture[:, 80:] = 200
    found = fit(picture, 30, 30)
    assert (found[:, :15] == 0).all()
    assert (found[:, 15:] == 200).all()

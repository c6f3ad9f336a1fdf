"""Plays that somebody wrote down."""

import json
from pathlib import Path

import numpy as np
import pytest

from vision.world.crossfps import decoded, read_clip
from vision.world.gamepad import BUTTONS, STICKS
from vision.world.scripted import main, scripted_rows

SCRIPT = {
    "game": "freedoom2",
    "map": "MAP04",
    "seed": 3,
    "stretches": [{"rows": 5}, {"rows": 3, "RX": 0.5, "LY": -1}, {"rows": 1, "fire": 1}],
}


def written(folder: Path, **changes) -> list[str]:
    path = folder / "script.json"
    path.write_text(json.dumps({**SCRIPT, **changes}))
    return [str(path), "--out", str(folder / "clip")]


def test_stretches_become_rows() -> None:
    sticks, buttons = scripted_rows(SCRIPT["stretches"])
    assert sticks.shape == (9, 4) and buttons.shape == (9, 6)
    moved = np.zeros((9, 4), np.float32)
    moved[5:8, STICKS.index("RX")], moved[5:8, STICKS.index("LY")] = 0.5, -1
    assert np.array_equal(sticks, moved)
    assert buttons.sum() == 1 and buttons[8, BUTTONS.index("fire")] == 1


def test_a_script_is_played_on_the_engine(tmp_path: Path) -> None:
    assert main(written(tmp_path)) == 0
    clip = read_clip(tmp_path / "clip", 9)
    sticks, buttons = scripted_rows(SCRIPT["stretches"])
    assert np.array_equal(clip.sticks.numpy(), sticks) and np.array_equal(clip.buttons.numpy(), buttons)
    frames = decoded(tmp_path / "clip").float()
    # Nothing is held in the first five rows; then the player turns.
    assert (frames[5] - frames[0]).abs().mean() < 2 < (frames[8] - frames[5]).abs().mean()
    assert json.loads((tmp_path / "clip" / "metadata.json").read_text())["script"] == SCRIPT


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"map": "MAP99"}, "MAP99"),
        ({"stretches": []}, "no stretches"),
        ({"stretches": [{"rows": 0}]}, "rows is 0"),
        ({"stretches": [{"rows": 2, "crouch": 1}]}, "'crouch' is none of"),
        ({"stretches": [{"rows": 2, "LX": 1.5}]}, "LX is 1.5"),
        ({"stretches": [{"rows": 2, "fire": 0.5}]}, "fire is 0.5"),
        ({"weather": "rain"}, "weather"),
    ],
)
def test_mistakes_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict, found: str
) -> None:
    assert main(written(tmp_path, **changes)) == 2
    assert found in capsys.readouterr().err
    assert not (tmp_path / "clip").exists()

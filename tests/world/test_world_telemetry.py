"""Tables of telemetry and clips of CrossFPS: by name, in ranges, padded and cut as SCOPE does."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vision.media import write_video
from vision.world.bad_clip import BadClipError
from vision.world.crossfps import find_clips, fit_rows, read_clip
from vision.world.gamepad import BUTTON_COLUMNS
from vision.world.policies import random_walk
from vision.world.telemetry import TELEMETRY_NAMES, read_telemetry, write_telemetry

# The buttons of a published table besides the six.
OTHERS = ("back", "dpad_down", "dpad_left", "dpad_right", "dpad_up", "east", "guide", "left_shoulder")
OTHERS += ("left_thumb", "right_shoulder", "start")


def columns(rows: int = 9) -> dict[str, list]:
    """A table in which every value tells its column and row."""
    sticks, buttons = random_walk(0, rows)
    table: dict[str, list] = {name: buttons[:, i].tolist() for i, name in enumerate(BUTTON_COLUMNS)}
    return table | {"j_left": sticks[:, :2].tolist(), "j_right": sticks[:, 2:].tolist()}


def write_clip(
    folder: Path, table: dict[str, list], shown: int = 9, size: tuple[int, int] = (16, 16), name: str = ""
) -> Path:
    folder.mkdir(parents=True)
    pq.write_table(pa.table(table), folder / (name or TELEMETRY_NAMES[0]))
    ramp = torch.linspace(40, 200, shown).round().to(torch.uint8)
    write_video(ramp[None, :, None, None].expand(3, -1, *size), folder / "video.mp4", 20)
    (folder / "metadata.json").write_text(json.dumps({"uuid": folder.name}))
    return folder


@given(st.integers(0, 1000), st.integers(1, 100))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, seed: int, rows: int) -> None:
    path = tmp_path_factory.mktemp("table") / "actions_raw.parquet"
    sticks, buttons = random_walk(seed, rows)
    write_telemetry(path, sticks, buttons, {"angle": np.arange(rows, dtype=np.float64)})
    found = read_telemetry(path)
    assert (found.sticks == sticks).all()
    assert (found.buttons == buttons).all()
    assert found.sticks.dtype == found.buttons.dtype == np.float32
    assert pq.read_table(path)["angle"].to_pylist() == list(range(rows))


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    table = columns()
    expected = np.array([*table.values()][:6]).T
    mixed = {name: [0.0] * 9 for name in OTHERS} | dict(reversed(list(table.items())))
    pq.write_table(pa.table(mixed), tmp_path / "seventeen.parquet")
    found = read_telemetry(tmp_path / "seventeen.parquet")
    assert (found.buttons == expected).all()
    assert found.sticks[:, :2].tolist() == table["j_left"]
    assert found.sticks[:, 2:].tolist() == table["j_right"]


def test_the_sign_of_the_walking_stick(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns()), path)
    turned, same = read_telemetry(path, 1).sticks, read_telemetry(path, -1).sticks
    assert (turned == same * [1, -1, 1, 1]).all()
    with pytest.raises(ValueError, match="-1 or 1"):
        read_telemetry(path, 0)


def test_triggers_are_pressed_from_a_half_on(tmp_path: Path) -> None:
    table = columns(4) | {"right_trigger": [0.0, 0.49, 0.5, 1.0]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    assert read_telemetry(tmp_path / "a.parquet").buttons[:, 0].tolist() == [0, 0, 1, 1]


def without(name: str) -> Callable[[dict], dict]:
    return lambda table: {key: value for key, value in table.items() if key != name}


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        (without("west"), "columns", "no column west.*found.*north.*expected.*west"),
        (lambda t: {f"c{i}": column for i, column in enumerate(t.values())}, "columns", "right_trigger"),
        (lambda t: t | {"j_left": t["north"]}, "columns", "j_left"),
        (lambda t: t | {"j_left": [[0.0, 0.0, 0.0]] * 9}, "columns", "j_left"),
        (lambda t: t | {"south": t["j_left"]}, "columns", "south"),
        (lambda t: t | {"south": ["up"] * 9}, "columns", "south"),
        (lambda t: t | {"south": [0.5] * 9}, "values", r"south is 0.5 in row 0.*\{0, 1\}"),
        (lambda t: t | {"south": [0.0] * 8 + [None]}, "values", "south is None in row 8"),
        (lambda t: t | {"left_trigger": [0.0, 1.5] + [0.0] * 7}, "values", "1.5 in row 1"),
        (lambda t: t | {"j_right": [[0.0, -1.01]] * 9}, "values", r"j_right.*\[-1, 1\]"),
        (lambda t: t | {"j_right": [[0.0, float("nan")]] * 9}, "values", "nan"),
        (lambda t: {name: values[:0] for name, values in t.items()}, "too short", "no rows"),
    ],
)
def test_wrong_tables_are_told(tmp_path: Path, change: Callable, kind: str, told: str) -> None:
    pq.write_table(pa.table(change(columns())), tmp_path / "a.parquet")
    with pytest.raises(BadClipError, match=told) as error:
        read_telemetry(tmp_path / "a.parquet")
    assert error.value.kind == kind


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.table(columns())
    doubled = table.append_column("west", table["west"])
    pq.write_table(doubled, tmp_path / "a.parquet")
    with pytest.raises(BadClipError, match="west, or several"):
        read_telemetry(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", TELEMETRY_NAMES)
def test_a_clip_under_each_of_its_names(tmp_path: Path, name: str) -> None:
    clip = read_clip(write_clip(tmp_path / "clip", columns(), name=name), frames=9)
    assert clip.sticks.shape == (9, 4)
    assert clip.buttons.shape == (9, 6)
    assert clip.sticks.dtype == clip.buttons.dtype == torch.float32
    assert clip.metadata == {"uuid": "clip"}


def test_short_tables_go_on_with_their_last_row(tmp_path: Path) -> None:
    clip = read_clip(write_clip(tmp_path / "clip", columns(5)), frames=9)
    whole = read_telemetry(tmp_path / "clip" / TELEMETRY_NAMES[0])
    assert (clip.sticks[:5].numpy() == whole.sticks).all()
    assert (clip.sticks[5:] == clip.sticks[4]).all()
    assert (clip.buttons[5:] == clip.buttons[4]).all()


@given(st.integers(1, 12), st.integers(1, 12))
def test_rows_fit_any_count(rows: int, count: int) -> None:
    values = np.arange(rows)[:, None]
    assert fit_rows(values, count)[:, 0].tolist() == [min(i, rows - 1) for i in range(count)]


@pytest.mark.parametrize(("asked", "kept"), [(9, 9), (8, 5), (4, 1), (1, 1)])
def test_clips_hold_four_n_and_one_frames(tmp_path: Path, asked: int, kept: int) -> None:
    folder = write_clip(tmp_path / "clip", columns(20))
    with nullcontext() if asked == kept else pytest.warns(UserWarning, match=f"lowered to {kept}"):
        clip = read_clip(folder, frames=asked)
    assert len(clip.sticks) == len(clip.buttons) == kept
    assert clip.frames(16, 16).shape == (kept, 16, 16, 3)


def test_a_short_video_shortens_the_clip_and_says_so(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="7 frames of the 9"):
        clip = read_clip(write_clip(tmp_path / "clip", columns(), shown=7), frames=9)
    assert len(clip.sticks) == 5


def test_frames_are_cut_to_the_aspect_and_in_order(tmp_path: Path) -> None:
    clip = read_clip(write_clip(tmp_path / "clip", columns(), size=(24, 64)), frames=9)
    frames = clip.frames(12, 16)
    assert frames.shape == (9, 12, 16, 3)
    assert frames.dtype == torch.uint8
    levels = frames.float().mean((1, 2, 3))
    assert (levels.diff() > 10).all()
    assert (levels - torch.linspace(40, 200, 9)).abs().max() < 4


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip", columns())
    (clip / "metadata.json").write_text("[1]")
    with pytest.raises(BadClipError, match=r"metadata.json.*list"):
        read_clip(clip, frames=9)
    (clip / "video.mp4").write_bytes(b"no video")
    with pytest.raises(BadClipError, match=r"video\.mp4"):
        read_clip(clip, frames=9)
    (clip / TELEMETRY_NAMES[0]).write_bytes(b"no table")
    with pytest.raises(BadClipError, match="parquet"):
        read_clip(clip, frames=9)
    (clip / TELEMETRY_NAMES[0]).unlink()
    with pytest.raises(BadClipError, match="no table of telemetry"):
        read_clip(clip, frames=9)


def test_clips_are_found_at_any_depth(tmp_path: Path) -> None:
    for name in ("train/b", "train/a", "halo/x/c", "train/.a.new"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "video.mp4").touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_clips(tmp_path)]
    assert found == ["halo/x/c", "train/a", "train/b"]
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "elsewhere").symlink_to(tmp_path / "train")
    (tmp_path / "linked" / "above").symlink_to(tmp_path)
    linked = [path.relative_to(tmp_path).as_posix() for path in find_clips(tmp_path / "linked")]
    assert linked == ["linked/elsewhere/a", "linked/elsewhere/b"]
    with pytest.raises(ValueError, match="holds no clips"):
        find_clips(tmp_path / "nothing")

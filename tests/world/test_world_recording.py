"""Recording a data set: what its files hold, going on, being killed, and the check of it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vision.media.data_set import SETTINGS_NAME, SHEET_NAME
from vision.world import check, record
from vision.world.clip_plan import SPLITS, ClipPlan, planned_clips, split_maps
from vision.world.clip_writer import ClipWriter, RecordingSettings
from vision.world.crossfps import find_clips, read_clip
from vision.world.engine import Engine
from vision.world.footage import STATE_COLUMNS
from vision.world.places import places
from vision.world.policies import POLICIES
from vision.world.workers import record_in_processes

SETTINGS = RecordingSettings(seed=1, frames=9, height=32, width=32)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips, recorded in this process."""
    folder = tmp_path_factory.mktemp("recorded")
    writer = ClipWriter(folder, SETTINGS)
    for plan in planned_clips(3, SETTINGS.seed):
        writer.record(plan)
    writer.close()
    return folder


def test_plans_keep_the_maps_of_the_splits_apart() -> None:
    plans = list(planned_clips(300, 0))
    assert plans[:100] == list(planned_clips(100, 0))
    assert plans != list(planned_clips(300, 1))
    train, test, other = (split_maps(split) for split in SPLITS)
    assert not set(train[1]) & set(test[1])
    assert set(train[1]) | set(test[1]) == set(places("freedoom2"))
    assert other == ("freedoom1", tuple(places("freedoom1")))
    for plan in plans:
        game, maps = split_maps(plan.split)
        assert plan.game == game
        assert plan.map_name in maps
    assert {plan.policy for plan in plans} == set(POLICIES)
    assert [sum(plan.split == split for plan in plans) for split in SPLITS] == [240, 30, 30]


def test_every_map_has_places_to_stand_on() -> None:
    assert len(places("freedoom2")) == 32
    assert len(places("freedoom1")) == 36
    assert min(len(spots) for game in ("freedoom1", "freedoom2") for spots in places(game).values()) > 10


def test_a_clip_can_be_played_again_from_its_files(recorded: Path, engine: Engine) -> None:
    for folder in find_clips(recorded):
        clip = read_clip(folder, SETTINGS.frames)
        facts = clip.metadata
        again = engine.play(
            facts["map_name"], facts["engine_seed"], clip.sticks.numpy(), clip.buttons.numpy()
        )
        lost = np.mean((clip.frames(32, 32).numpy() - again.frames.astype(np.float64)) ** 2)
        assert 10 * np.log10(255**2 / lost) > 30
        table = pq.read_table(folder / "actions_raw.parquet")
        for name in STATE_COLUMNS:
            assert table[name].to_pylist() == again.state(name).tolist()
        assert facts["policy"] in POLICIES
        assert facts["dataset"] == SETTINGS.facts()


def test_the_check_finds_each_kind_of_bad_clip(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = find_clips(recorded)[0]
    files = {path.name: path.read_bytes() for path in good.iterdir()}
    table = pq.read_table(good / "actions_raw.parquet")

    def clip(name: str, **changed: bytes) -> Path:
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        for file, content in files.items():
            (folder / file).write_bytes(changed.get(file.partition(".")[0], content))
        return folder

    clip("good")
    assert check.main([str(tmp_path), "--frames", "9"]) == 0
    assert "1 of 1 clips" in capsys.readouterr().out

    clip("cut", video=files["video.mp4"][:-200])
    clip("no_json", metadata=b"{")
    pq.write_table(table.drop_columns(["north"]), clip("columns") / "actions_raw.parquet")
    pq.write_table(table.slice(0, 8), clip("fewer_rows") / "actions_raw.parquet")
    place = table.column_names.index("south")
    beyond = table.set_column(place, "south", [[2.0] * 9])
    pq.write_table(beyond, clip("beyond") / "actions_raw.parquet")
    assert check.main([str(tmp_path), "--frames", "9"]) == 1
    told = capsys.readouterr().out
    assert "1 of 6 clips" in told
    for name, kind in (
        ("cut", "unreadable"),
        ("no_json", "unreadable"),
        ("columns", "columns"),
        ("fewer_rows", "counts"),
        ("beyond", "values"),
    ):
        assert any(line.startswith(kind) and f"/{name}" in line for line in told.splitlines()), name
    assert check.main([str(recorded), "--frames", "10"]) == 1
    assert "3 too short" in capsys.readouterr().out
    assert check.main([str(tmp_path / "nothing")]) == 2


def test_killed_and_resumed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vision.world.record", "--out", str(tmp_path), "--clips", "400"]
    command += ["--workers", "2", "--size", "32x32", "--frames", "9", "--seed", "1"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("train/0*")):
        assert process.poll() is None, "it ended before a clip was there"
        time.sleep(0.02)
    others = psutil.Process(process.pid).children(recursive=True)
    assert any("vizdoom" in other.name() for other in others)
    process.kill()
    process.wait()
    assert not psutil.wait_procs(others, timeout=60)[1], "a process outlived the one that was killed"

    kept = {path: path.stat().st_mtime_ns for path in find_clips(tmp_path)}
    assert len(kept) < 400
    for folder in kept:
        check.check_clip(folder, 9)
    record.record(tmp_path, clips=11, size=(32, 32), frames=9, seed=1)
    plans = list(planned_clips(11, 1))
    for plan in plans:
        check.check_clip(tmp_path / plan.name, 9)
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())
    with Image.open(tmp_path / SHEET_NAME) as sheet:
        assert sheet.height > 32 * 7  # five clips of the first split, one of each other


def test_other_settings_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_NAME).write_text(json.dumps(SETTINGS.facts()))
    with pytest.raises(ValueError, match=r"frames 9 \(now 17\)"):
        record.record(tmp_path, clips=1, size=(32, 32), frames=17, seed=1)
    (tmp_path / SETTINGS_NAME).write_text("{")
    assert record.main(["--out", str(tmp_path), "--clips", "1"]) == 2


def test_what_goes_wrong_in_a_worker_is_raised_here(tmp_path: Path) -> None:
    plan = ClipPlan("train", "freedoom2", "MAP99", 0, "bursts", 0)
    with pytest.raises(ValueError, match="MAP99"):
        list(record_in_processes([plan], tmp_path, SETTINGS, workers=3))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong", [["--size", "64"], ["--size", "0x64"], ["--clips", "0"], ["--frames", "-1"]]
)
def test_wrong_options_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        record.main(["--out", str(tmp_path), "--clips", "1", *wrong])
    assert "expected" in capsys.readouterr().err

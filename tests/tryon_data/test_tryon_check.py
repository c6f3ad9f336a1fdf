"""The readers, and the check that names what is wrong with a sample."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tryon_data.conftest import write_frames
from vision.media.bad_item import BadItemError
from vision.media.video import read_video
from vision.tryon import check
from vision.tryon.actions import read_actions
from vision.tryon.faults import agnostic_fault, background_fault, mask_fault
from vision.tryon.index import INDEX_NAME, SampleRecord, read_index, record_line
from vision.tryon.readers import read_samples, read_vivid
from vision.tryon.sample import GREY, TryOnSample, agnostic_video


@pytest.fixture
def good(studio_set: Path) -> SampleRecord:
    """The first sample of the studio, with files told from the root of the file system."""
    sample = read_samples(studio_set)[0]
    names = ("video", "garment", "mask", "pose", "hand", "truth", "unpaired_garment")
    return replace(sample.record, unpaired_video=None, **{name: str(sample.path(name)) for name in names})


def told_by_the_check(folder: Path, capsys: pytest.CaptureFixture[str], *records: SampleRecord) -> list[str]:
    (folder / INDEX_NAME).write_text("".join(record_line(record) + "\n" for record in records))
    assert check.main([str(folder)]) == 1
    return capsys.readouterr().out.splitlines()


def frames_of(path: str) -> np.ndarray:
    return read_video(path)[0].permute(1, 2, 3, 0).numpy()


def test_a_sample_of_the_studio_is_good_and_loads(
    studio_set: Path, good: SampleRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.main([str(studio_set)]) == 0
    assert "2 of 2 samples" in capsys.readouterr().out
    samples = read_samples(studio_set)
    assert [sample.record.id for sample in samples] == ["000000", "000001"]
    loaded = samples[0].load()
    assert loaded.video.shape == loaded.pose.shape == loaded.hand.shape == (3, 17, 96, 72)
    assert loaded.garment.shape == (3, 96, 72)
    assert torch.equal(loaded.mask, TryOnSample(good, studio_set).load().mask)
    inside = loaded.mask.expand(3, -1, -1, -1)
    agnostic = agnostic_video(loaded.video, loaded.mask)
    assert (agnostic[inside] == GREY).all()
    assert torch.equal(agnostic[~inside], loaded.video[~inside])
    own = TryOnSample.of_folder(studio_set / "train" / "000001")
    assert own.record == samples[1].record
    assert torch.equal(own.load().video, samples[1].load().video)


def test_a_sample_without_pose_and_hands_has_black_ones(good: SampleRecord, tmp_path: Path) -> None:
    loaded = TryOnSample(replace(good, pose=None, hand=None), tmp_path).load()
    assert not loaded.pose.any()
    assert loaded.hand.shape == loaded.video.shape


def test_lines_of_an_index_round_trip(good: SampleRecord, tmp_path: Path) -> None:
    path = tmp_path / INDEX_NAME
    path.write_text(record_line(good) + "\n\n" + record_line(SampleRecord("1", "v", "g", "m"), "a/b") + "\n")
    assert list(read_index(path)) == [good, SampleRecord("1", "a/b/v", "a/b/g", "a/b/m")]


@pytest.mark.parametrize(
    ("actions", "kind", "told"),
    [
        (((9, 3, "a"),), "timestamps", "exchange"),
        (((9, 17, "a"),), "timestamps", "0 to 16"),
        (((-1, 3, "a"),), "timestamps", "-1"),
        (((1, 3, ""),), "timestamps", "no label"),
        (((1, 8, "a"), (8, 12, "b")), "overlap", "'b' [8, 12] overlap"),
        (((1, 12, "a"), (2, 3, "b"), (10, 11, "c")), "overlap", "'c' [10, 11] overlap"),
    ],
)
def test_wrong_times_are_named(
    good: SampleRecord,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    actions: tuple,
    kind: str,
    told: str,
) -> None:
    lines = told_by_the_check(tmp_path, capsys, replace(good, actions=actions))
    assert any(line.startswith(f"{kind}: 000000") and told in line for line in lines), lines


def test_wrong_files_are_named(
    good: SampleRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask, video = frames_of(good.mask), frames_of(good.video)
    bad = {
        "inverted": ("mask inverted", {"mask": write_frames(255 - mask, tmp_path / "inverted.mp4")}),
        "empty": ("mask empty", {"mask": write_frames(0 * mask, tmp_path / "empty.mp4")}),
        "full": ("mask full", {"mask": write_frames(0 * mask + 255, tmp_path / "full.mp4")}),
        "smaller": ("sizes", {"hand": write_frames(video[:, :80], tmp_path / "small.mp4")}),
        "shorter": ("frames", {"pose": write_frames(video[:13], tmp_path / "short.mp4")}),
        "cut": ("unreadable", {"video": tmp_path / "cut.mp4"}),
        "gone": ("unreadable", {"garment": tmp_path / "gone.png"}),
        "shown": ("agnostic", {"agnostic": Path(good.video)}),
        "other": ("unreadable", {"unpaired_garment": tmp_path / "gone.png"}),
        "untrue": ("missing", {"truth": tmp_path / "gone.npz"}),
        "brown": ("background", {"garment": tmp_path / "brown.png"}),
        "blank": ("background", {"garment": tmp_path / "blank.png"}),
    }
    (tmp_path / "cut.mp4").write_bytes(Path(good.video).read_bytes()[:-500])
    Image.new("RGB", (72, 96), (120, 90, 60)).save(tmp_path / "brown.png")
    Image.new("RGB", (72, 96), "white").save(tmp_path / "blank.png")
    eighteen = np.concatenate([video, video[-1:]])
    longer = {
        name: str(write_frames(eighteen, tmp_path / f"{name}18.mp4")) for name in ("video", "pose", "hand")
    }
    longer["mask"] = str(write_frames(np.concatenate([mask, mask[-1:]]), tmp_path / "mask18.mp4"))
    records = [
        replace(good, id=name, **{part: str(path) for part, path in files.items()})
        for name, (_, files) in bad.items()
    ]
    records.append(replace(good, id="eighteen", **longer))
    lines = told_by_the_check(tmp_path, capsys, good, *records)
    for name, (kind, _) in {**bad, "eighteen": ("length", {})}.items():
        assert any(line.startswith(f"{kind}: {name}") for line in lines), (name, lines)
    assert any(line.startswith("1 of 14 samples") for line in lines)
    assert any("cut the last 1 " in line for line in lines)
    for name in ("smaller", "shorter", "cut"):
        with pytest.raises(BadItemError, match=name):
            TryOnSample(next(record for record in records if record.id == name), tmp_path).load()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 1"),
        ("[1]", "expected an object"),
        ('{"id": "a", "video": "v"}', "garment, mask missing"),
        ('{"id": "a", "video": "v", "garment": 3, "mask": "m"}', "found 3 as garment"),
        ('{"id": "a", "video": "v", "garment": "g", "mask": "m", "fps": -1}', "fps -1"),
        (
            '{"id": "a", "video": "v", "garment": "g", "mask": "m", "actions": [{"start": "1"}]}',
            "whole numbers",
        ),
        ('{"id": "a", "video": "v", "garment": "g", "mask": "m", "actions": "a.json"}', "found 'a.json'"),
    ],
)
def test_wrong_lines_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, told: str
) -> None:
    (tmp_path / INDEX_NAME).write_text(line + "\n")
    assert check.main([str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("index: ")
    assert told in out
    with pytest.raises(BadItemError, match="line 1"):
        read_samples(tmp_path)


def test_an_id_is_of_one_sample(
    good: SampleRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told_by_the_check(tmp_path, capsys, good, good)
    assert "id: 000000: another sample has this id; give each its own" in lines
    assert any(line.startswith("1 of 2 samples") for line in lines)


@pytest.mark.parametrize(
    "changes",
    [
        {"front_seqs": ["0", "17"]},
        {"front_seqs": [0.0, 17.0]},
        {"front_seqs": [0]},
        {"video": 3},
        {"image": None},
    ],
)
def test_a_damaged_list_of_vivid_names_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    line = {"video": "7.mp4", "image": "7.png", "front_seqs": [0, 17], "subdir": "dresses", **changes}
    listed = tmp_path / "list.jsonl"
    listed.write_text(json.dumps(line))
    assert check.main([str(tmp_path), "--vivid", str(listed)]) == 2
    assert f"{listed}, line 1: " in capsys.readouterr().err
    listed.write_bytes(b"\xff\xfe")
    assert check.main([str(tmp_path), "--vivid", str(listed)]) == 2
    assert "is no text in UTF-8" in capsys.readouterr().err


def test_no_index_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(tmp_path)]) == 2
    assert "a line of JSON a sample" in capsys.readouterr().err
    (tmp_path / INDEX_NAME).write_text("\n")
    assert check.main([str(tmp_path)]) == 2


def test_actions_are_read_in_both_forms() -> None:
    assert read_actions([{"start": 1, "end": 2, "label": " a "}, [3, 4, "b"]]) == [(1, 2, "a"), (3, 4, "b")]
    with pytest.raises(ValueError, match="expected a list"):
        read_actions({"start": 1})
    with pytest.raises(ValueError, match="True"):
        read_actions([[True, 4, "b"]])


def test_a_mask_is_judged_by_skeleton_or_grey() -> None:
    mask = torch.zeros(1, 2, 64, 48, dtype=torch.bool)
    mask[..., 20:50, 12:36] = True
    pose = torch.zeros(3, 2, 64, 48, dtype=torch.uint8)
    pose[..., 25:45, 23:25] = 255
    assert mask_fault(mask, "a") is None
    assert mask_fault(mask, "a", pose) is None
    for fault in (mask_fault(~mask, "a"), mask_fault(~mask, "a", pose)):
        assert fault is not None
        assert fault.kind == "mask inverted"
    grey = torch.where(mask, torch.tensor(GREY), torch.tensor(30)).to(torch.uint8).expand(3, -1, -1, -1)
    assert mask_fault(mask, "a", agnostic=grey) is None
    assert mask_fault(~mask, "a", agnostic=grey) is not None
    # One wrong mask makes a wrong agnostic video.
    around = torch.where(mask, torch.tensor(30), torch.tensor(GREY)).to(torch.uint8).expand(3, -1, -1, -1)
    fault = mask_fault(~mask, "a", pose, around)
    assert fault is not None and fault.kind == "mask inverted"
    assert agnostic_fault(mask, grey, "a") is None
    fault = agnostic_fault(mask, torch.full_like(grey, 30), "a")
    assert fault is not None and "0% of the agnostic video is grey" in str(fault)
    # A close view, in which the garment fills the frame, is no inverted mask.
    close = torch.ones_like(mask)
    close[..., :8, 16:30] = False
    assert mask_fault(close, "a", pose) is None


def test_light_grey_around_a_garment_is_white_enough() -> None:
    garment = torch.full((3, 96, 72), 235, dtype=torch.uint8)
    garment[:, 20:80, 10:60] = 40
    assert background_fault(garment, "a") is None
    assert background_fault(garment - 30, "a") is not None


def test_vivid_as_catv2ton_lays_it_out(studio_set: Path, tmp_path: Path) -> None:
    record = read_samples(studio_set)[0].record
    part = tmp_path / "upper_body"
    for folder, name in (("videos", "video"), ("agnostic_mask", "mask"), ("densepose", "pose")):
        (part / folder).mkdir(parents=True)
        (part / folder / "7_detail.mp4").write_bytes((studio_set / getattr(record, name)).read_bytes())
    (part / "images").mkdir()
    (part / "images" / "7.png").write_bytes((studio_set / record.garment).read_bytes())
    listed = tmp_path / "test_data.jsonl"
    line = {"video": "7_detail.mp4", "image": "7.png", "front_seqs": [2, 12], "subdir": "upper_body"}
    listed.write_text(json.dumps(line) + "\n")
    (sample,) = read_vivid(tmp_path, listed)
    whole = TryOnSample(record, studio_set).load()
    with pytest.warns(UserWarning, match="the last 1 of 10 frames"):
        loaded = sample.load()
    assert torch.equal(loaded.video, whole.video[:, 2:11])
    assert torch.equal(loaded.mask, whole.mask[:, 2:11])
    assert not loaded.hand.any()
    assert (sample.record.id, sample.record.actions, sample.record.caption) == ("7", (), "")

    listed.write_text(json.dumps({**line, "front_seqs": [0, 17]}) + "\n")
    assert check.main([str(tmp_path), "--vivid", str(listed)]) == 0
    assert check.main([str(tmp_path), "--vivid", str(listed), "--inverted"]) == 1
    (part / "agnostic_mask_smoothed").mkdir()
    (part / "agnostic_mask_smoothed" / "7_detail.mp4").write_bytes(b"")
    assert check.main([str(tmp_path), "--vivid", str(listed)]) == 1
    for wrong in ({"front_seqs": [5, 5]}, {"subdir": "hats"}, {"front_seqs": None}):
        listed.write_text(json.dumps({**line, **wrong}) + "\n")
        with pytest.raises(ValueError, match="line 1"):
            read_vivid(tmp_path, listed)
    listed.write_text(json.dumps({**line, "front_seqs": [0, 65]}) + "\n")
    (part / "agnostic_mask_smoothed" / "7_detail.mp4").unlink()
    with pytest.raises(BadItemError, match="17 frames"):
        read_vivid(tmp_path, listed)[0].load()

"""From raw video to conditions, with the real estimators and a photograph of a real person."""

import json
import shutil
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from infer import prepare_tryon
from infer.prepare_tryon import PrepareOptions
from infer.tryon_preparation import prepare
from tests.tryon_data.conftest import astronaut_film, film_hand, write_frames
from vision.media.video import UnreadableVideoError, read_video
from vision.tryon.actions import read_actions_file
from vision.tryon.check import check
from vision.tryon.hand_render import HAND_COLOUR
from vision.tryon.preparing.actions import caption_of, fitted_actions
from vision.tryon.preparing.conditions import drawn_conditions
from vision.tryon.preparing.estimates import FrameEstimate, PersonEstimator
from vision.tryon.readers import read_samples

HAND_FROM = 3


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, studio_set: Path) -> Path:
    """in.mp4 with a person and, from frame 3 on, a hand; g.png and actions.json."""
    folder = tmp_path_factory.mktemp("inputs")
    write_frames(astronaut_film(HAND_FROM), folder / "in.mp4")
    (folder / "g.png").write_bytes((studio_set / "train" / "000000" / "garment.png").read_bytes())
    actions = [{"start": 5, "end": 8, "label": "Adjusting the collar"}]
    (folder / "actions.json").write_text(json.dumps(actions))
    return folder


@pytest.fixture(scope="module")
def sample_folder(inputs: Path) -> Path:
    """The sample of those files."""
    words = [
        "--video",
        inputs / "in.mp4",
        "--garment",
        inputs / "g.png",
        "--actions",
        inputs / "actions.json",
    ]
    assert prepare_tryon.main([str(word) for word in [*words, "--out", inputs / "sample"]]) == 0
    return inputs / "sample"


def options(inputs: Path, out: Path, **changed: Any) -> PrepareOptions:
    return PrepareOptions(**{"video": inputs / "in.mp4", "garment": inputs / "g.png", "out": out, **changed})


def test_a_real_video_becomes_a_good_sample(sample_folder: Path) -> None:
    assert check(sample_folder) == 0
    (sample,) = read_samples(sample_folder)
    assert sample.record.actions == ((5, 8, "Adjusting the collar"),)
    assert sample.record.caption == "The person is adjusting the collar"
    assert sample.record.fps == 16
    loaded, agnostic = sample.load(), sample.video_of("agnostic")
    assert loaded.video.shape == (3, 9, 256, 256)
    assert loaded.garment.shape == (3, 256, 256)
    mask = loaded.mask[0].float().mean(0)
    assert mask[170:, 60:160].mean() > 0.95, "the trunk is generated"
    assert mask[:50].mean() < 0.01
    assert mask[40:80, 100:125].mean() < 0.05, "the face stays"
    inside = loaded.mask.expand(3, -1, -1, -1)
    # A pixel inside, since the videos' colours have half the resolution.
    core = torch.nn.functional.avg_pool2d(inside[0].float(), 5, 1, 2) == 1
    assert ((agnostic[:, core].int() - 127).abs() <= 3).float().mean() > 0.99
    outside = torch.nn.functional.avg_pool2d(inside[0].float(), 5, 1, 2) == 0
    assert (agnostic[:, outside].int() - loaded.video[:, outside]).abs().float().mean() < 3
    assert loaded.pose[:, :, 60:90, 100:130].any()
    with Image.open(sample_folder / "contact_sheet.png") as sheet:
        assert sheet.height > 5 * 150


def test_a_folder_of_samples_is_a_data_set(sample_folder: Path, tmp_path: Path) -> None:
    for name in ("b", "a"):
        shutil.copytree(sample_folder, tmp_path / name)
    assert [sample.root.name for sample in read_samples(tmp_path)] == ["a", "b"]
    assert check(tmp_path) == 1, "of one id"
    line = json.loads((tmp_path / "b" / "meta.jsonl").read_text())
    (tmp_path / "b" / "meta.jsonl").write_text(json.dumps({**line, "id": "b"}))
    assert check(tmp_path) == 0
    (tmp_path / "b" / "hand.mp4").unlink()
    assert check(tmp_path) == 1


def test_hands_are_found_where_they_are(sample_folder: Path) -> None:
    hand = read_samples(sample_folder)[0].load().hand.permute(1, 2, 3, 0).numpy().astype(float)
    for number, frame in enumerate(hand):
        drawn = frame[..., 2] > 40
        if number < HAND_FROM:
            assert not drawn.any()
        elif number > HAND_FROM:  # the tracker may need a frame
            middle = np.argwhere(drawn).mean(0)[::-1]
            np.testing.assert_allclose(middle, film_hand(number)[:, :2].mean(0), atol=12)
            # Blue-grey, whatever colour the hand and what lies behind it have.
            mean = frame[drawn].mean(0)
            np.testing.assert_allclose(mean / mean[2], HAND_COLOUR / HAND_COLOUR[2], atol=0.06)


def test_what_a_user_has_is_taken_as_it_is(sample_folder: Path, inputs: Path, tmp_path: Path) -> None:
    """Without estimation: the film shows nobody."""
    before = read_samples(sample_folder)[0].load()
    given = {part: sample_folder / f"{part}.mp4" for part in ("mask", "pose", "hand")}
    nobody = write_frames(np.full((9, 256, 256, 3), 90, np.uint8), tmp_path / "wall.mp4")
    prepare(options(inputs, tmp_path / "a", video=nobody, **given))
    after = read_samples(tmp_path / "a")[0].load()
    assert torch.equal(before.mask, after.mask)
    assert (before.pose.int() - after.pose).abs().float().mean() < 1
    assert (before.hand.int() - after.hand).abs().float().mean() < 1
    del given["hand"]
    with pytest.warns(UserWarning, match="no hands found"):
        prepare(options(inputs, tmp_path / "handless", video=nobody, **given))
    handless = read_samples(tmp_path / "handless")[0].load()
    assert torch.equal(handless.mask, before.mask) and not handless.hand.any()
    given["hand"] = sample_folder / "hand.mp4"
    inverted = write_frames(
        255 - read_video(given["mask"])[0].permute(1, 2, 3, 0).numpy(), tmp_path / "m.mp4"
    )
    with pytest.raises(ValueError, match="--mask-inverted"):
        prepare(options(inputs, tmp_path / "b", video=nobody, **{**given, "mask": inverted}))
    prepare(options(inputs, tmp_path / "b", video=nobody, mask_inverted=True, **{**given, "mask": inverted}))
    again = read_samples(tmp_path / "b")[0].load().mask
    assert (again != before.mask).float().mean() < 0.001
    short = write_frames(np.zeros((5, 256, 256, 3), np.uint8), tmp_path / "short.mp4")
    with pytest.raises(ValueError, match=r"--hand .* 5 frames .* 9 frames"):
        prepare(options(inputs, tmp_path / "c", **{**given, "hand": short}))
    for value, told in ((0, "black everywhere"), (255, "white everywhere")):
        flat = write_frames(np.full((9, 256, 256, 3), value, np.uint8), tmp_path / "flat.mp4")
        with pytest.raises(ValueError, match=told):
            prepare(options(inputs, tmp_path / "c", **{**given, "mask": flat}))
    partly = read_video(given["mask"])[0].permute(1, 2, 3, 0).numpy().copy()
    partly[:2] = 0
    given["mask"] = write_frames(partly, tmp_path / "partly.mp4")
    with pytest.warns(UserWarning, match="empty in 2 of 9 frames"):
        prepare(options(inputs, tmp_path / "c", **given))


def test_size_length_and_times_follow_what_is_cut(inputs: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning) as told:
        prepare(
            options(
                inputs,
                tmp_path / "a",
                size=(192, 144),
                frames=7,
                actions=inputs / "actions.json",
                part="dress",
            )
        )
    messages = " ".join(str(warning.message) for warning in told)
    assert "the last 2 of 7 frames" in messages
    assert "0 of 1 actions are left" in messages
    (sample,) = read_samples(tmp_path / "a")
    assert sample.record.caption == "The person is adjusting the collar", "of what was given"
    loaded = sample.load()
    assert loaded.video.shape == (3, 5, 192, 144)
    assert loaded.garment.shape[1:] == (192, 144)
    assert loaded.mask[..., 120:, 50:90].float().mean() > 0.95


def test_nobody_and_no_hands(inputs: Path, tmp_path: Path) -> None:
    wall = write_frames(np.full((5, 250, 246, 3), 90, np.uint8), tmp_path / "wall.mp4")
    with (
        pytest.warns(UserWarning, match="become 240x240"),
        pytest.raises(ValueError, match="no person found in any of 5 frames"),
    ):
        prepare(options(inputs, tmp_path / "a", video=wall))
    assert not (tmp_path / "a").exists()
    handless = write_frames(astronaut_film(None, 5), tmp_path / "handless.mp4")
    with pytest.warns(UserWarning, match="no hands found in any of 5 frames"):
        prepare(options(inputs, tmp_path / "a", video=handless))
    assert not read_samples(tmp_path / "a")[0].load().hand.any()
    with pytest.raises(ValueError, match="--overwrite"):
        prepare(options(inputs, tmp_path / "a", video=handless))


def test_a_lost_person_holds_the_nearest_pose() -> None:
    with PersonEstimator() as estimator:
        found = estimator.estimate(astronaut_film(None, 1)[0])
    assert found.body is not None
    lost = FrameEstimate(None, {}, found.person)
    with pytest.warns(UserWarning) as told:
        drawn = drawn_conditions([*[lost] * 2, found, *[lost] * 4, found], "upper", "film")
    assert any("frames 0-1; the nearest" in str(warning.message) for warning in told)
    assert torch.equal(drawn.mask[:, 0], drawn.mask[:, 2])
    assert torch.equal(drawn.pose[:, 1], drawn.pose[:, 5])


def test_garments_with_transparency_or_without_white(inputs: Path, tmp_path: Path) -> None:
    layer = np.zeros((64, 48, 4), np.uint8)
    layer[10:50, 10:40] = (200, 30, 30, 255)
    Image.fromarray(layer).save(tmp_path / "alpha.png")
    given: dict[str, Path] = dict.fromkeys(("pose", "hand"), inputs / "in.mp4")
    mask = np.zeros((9, 256, 256, 3), np.uint8)
    mask[:, 100:200, 60:200] = 255
    given["mask"] = write_frames(mask, tmp_path / "mask.mp4")
    with pytest.warns(UserWarning, match="laid on white"):
        prepare(options(inputs, tmp_path / "a", garment=tmp_path / "alpha.png", **given))
    garment = read_samples(tmp_path / "a")[0].garment()
    assert (garment[:, 0] == 255).all()
    assert (garment[:, 128, 128] == torch.tensor([200, 30, 30])).all()
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "photo.png")
    with pytest.warns(UserWarning, match=r"cut the garment out .* taken as it is"):
        prepare(options(inputs, tmp_path / "b", garment=tmp_path / "photo.png", **given))


def test_videos_that_cannot_be_read(tmp_path: Path, inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    words = ["--garment", str(inputs / "g.png"), "--out", str(tmp_path / "out")]
    for name in ("text.mp4", "missing.mp4"):
        assert prepare_tryon.main(["--video", str(tmp_path / name), *words]) == 2
        assert name in capsys.readouterr().err
    parts = []
    for side in (64, 96):
        part = tmp_path / f"{side}.h264"
        with av.open(str(part), "w", format="h264") as container:
            stream: Any = container.add_stream("libx264", rate=Fraction(16))
            stream.height = stream.width = side
            stream.pix_fmt = "yuv420p"
            for value in range(4):
                frame = np.full((side, side, 3), 40 * value, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        parts.append(part.read_bytes())
    (tmp_path / "both.h264").write_bytes(b"".join(parts))
    with pytest.raises(UnreadableVideoError, match="changes its size at frame 4, from 64x64 to 96x96"):
        read_video(tmp_path / "both.h264")


def test_missing_estimators_are_told(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    words = ["--video", inputs / "in.mp4", "--garment", inputs / "g.png", "--out", tmp_path / "out"]
    assert prepare_tryon.main([str(word) for word in words]) == 2
    assert ".[tryon]" in capsys.readouterr().err


def test_actions_are_put_in_order_split_and_cut() -> None:
    assert fitted_actions(((5, 8, "b"), (1, 3, "a")), 17, 17, "x") == [(1, 3, "a"), (5, 8, "b")]
    with pytest.warns(UserWarning, match="overlap and are split"):
        split = fitted_actions(((0, 8, "a"), (5, 12, "b")), 17, 17, "x")
    assert split == [(0, 4, "a"), (5, 8, "a and b"), (9, 12, "b")]
    with pytest.warns(UserWarning, match="1 of 2 actions are left"):
        assert fitted_actions(((10, 14, "a"), (15, 16, "b")), 17, 13, "x") == [(10, 12, "a")]
    for wrong, told in (((5, 3, "a"), "exchange"), ((5, 17, "a"), "0 to 16"), ((5, 6, ""), "no label")):
        with pytest.raises(ValueError, match=told):
            fitted_actions((wrong,), 17, 17, "x")
    assert caption_of(()) == "A person moves"


def test_files_of_actions(tmp_path: Path) -> None:
    path = tmp_path / "actions.json"
    path.write_text(json.dumps({"caption": "c", "actions": [[1, 2, "a"]]}))
    assert read_actions_file(path) == ("c", [(1, 2, "a")])
    for content, told in (
        ("{", "not valid JSON"),
        ('{"caption": 3}', "found 3"),
        ("3", "expected a list"),
        ('[{"a": 1}]', "whole"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=told):
            read_actions_file(path)
    with pytest.raises(ValueError, match="No such file"):
        read_actions_file(tmp_path / "none.json")


@pytest.mark.parametrize("wrong", [["--size", "100x100"], ["--mask-inverted"], ["--part", "hat"]])
def test_wrong_words_are_told(tmp_path: Path, wrong: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        prepare_tryon.main(["--video", "v", "--garment", "g", "--out", str(tmp_path), *wrong])

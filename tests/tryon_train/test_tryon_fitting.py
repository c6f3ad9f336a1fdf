"""The demonstration of try-on: a script's samples, and the sheet and the video of what was made of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_tryon_model import pipeline_of  # pyright: ignore[reportMissingImports] - of tests/tryon

from infer import tryon, tryon_sheet
from vision.media import read_video, write_video
from vision.tryon import check, fitting
from vision.tryon.readers import read_samples

ROOT = Path(__file__).resolve().parents[2]
SCRIPT: dict[str, Any] = json.loads((ROOT / "configs" / "tryon" / "fitting.json").read_text())


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two garments, each with the action early and late."""
    folder = tmp_path_factory.mktemp("fitting")
    (folder / "script.json").write_text(json.dumps({**SCRIPT, "garments": SCRIPT["garments"][:2]}))
    assert fitting.main([str(folder / "script.json"), "--out", str(folder / "samples")]) == 0
    return folder / "samples"


@pytest.fixture(scope="module")
def made(samples: Path) -> Path:
    """What a tiny model makes of them."""
    model, out = samples.parent / "model", samples.parent / "made"
    pipeline_of(max_prompt_tokens=32, default_num_inference_steps=1).save_pretrained(model)
    command = ["--model", str(model), "--index", str(samples), "--size", "32x24", "--guidance-scale", "1"]
    assert tryon.main([*command, "--unpaired", "--alone", "--out", str(out)]) == 0
    return out


def test_a_script_is_one_person_in_several_garments_at_two_times(samples: Path) -> None:
    assert check.main([str(samples)]) == 0
    found = read_samples(samples)
    early, late = SCRIPT["begins"]
    said = [[(first, last) for first, last, _ in sample.record.actions] for sample in found]
    lasts = SCRIPT["lasts"] - 1
    assert said == [[(begin, begin + lasts)] for begin in (early, early, late, late)]
    videos = [sample.video_of("video").numpy() for sample in found]
    truths = [sample.video_of("unpaired_video").numpy() for sample in found]
    # What was filmed depends on when the action is, not on what is tried on.
    assert np.array_equal(videos[0], videos[1]) and np.array_equal(videos[2], videos[3])
    assert not np.array_equal(videos[0], videos[2])
    assert not np.array_equal(truths[0], truths[1])


def test_the_sheet_shows_what_was_filmed_once_above_what_was_made(
    samples: Path, made: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    words = ["--index", str(samples), "--videos", str(made), "--out", str(sheet)]
    assert tryon_sheet.main(words) == 0
    scale = 84 // 24
    picture = Image.open(sheet)
    assert picture.height == 6 * (32 * scale + 2) + 2  # two filmed, four made
    assert picture.width > 9 * (24 * scale + 2)  # the garment and eight frames, beside the labels
    frames, rate = read_video(sheet.with_suffix(".mp4"))
    assert frames.shape == (3, 17, 2 * 32, 3 * 24) and rate == 16
    bar = frames[:, :, 31, 30].float()  # in the last row of the first made video
    first, last = SCRIPT["begins"][0], SCRIPT["begins"][0] + SCRIPT["lasts"] - 1
    orange = (bar - bar.new_tensor([255, 140, 0])[:, None]).abs().amax(0) < 40
    assert orange[first : last + 1].all() and not orange[last + 1 :].any()


def test_a_sheet_of_some_samples_whose_videos_are_of_several_lengths(
    samples: Path, made: Path, tmp_path: Path
) -> None:
    videos = tmp_path / "made"
    videos.mkdir()
    for name in ("000000", "000002"):
        for ending in (".mp4", ".json"):
            (videos / f"{name}{ending}").write_bytes((made / f"{name}{ending}").read_bytes())
    short, _ = read_video(videos / "000000.mp4")
    write_video(short[:, :13], videos / "000000.mp4", 16)
    lines = (samples / "meta.jsonl").read_text().splitlines()
    index = samples / "some.jsonl"
    # The second is of another split.
    index.write_text("\n".join([lines[0], lines[1].replace('"split": "test"', '"split": "other"'), lines[2]]))
    words = ["--index", str(index), "--videos", str(videos), "--split", "test"]
    for limit, height in (("2", 2 * 32), ("1", 32)):
        sheet = tmp_path / f"{limit}.png"
        assert tryon_sheet.main([*words, "--limit", limit, "--out", str(sheet)]) == 0
        frames, _ = read_video(sheet.with_suffix(".mp4"))
        assert frames.shape == (3, 17 if limit == "2" else 13, height, 2 * 24)
    index.unlink()


def test_videos_that_a_sheet_cannot_show(
    samples: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--index", str(samples), "--out", str(tmp_path / "sheet.png"), "--videos"]
    assert tryon_sheet.main([*words, str(tmp_path)]) == 2
    assert "make it with infer.tryon --alone" in capsys.readouterr().err
    for name in ("000000.mp4", "000000.json"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    record = json.loads((tmp_path / "000000.json").read_text())
    (tmp_path / "000000.json").write_text(json.dumps({**record, "alone": False}))
    assert tryon_sheet.main([*words, str(tmp_path)]) == 2
    assert "shows the filmed video, too" in capsys.readouterr().err
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"person": -1}, "person is -1, expected whole numbers from 0 to 1999"),
        ({"garments": []}, "garments is [], expected a list"),
        ({"garments": [True]}, "garments is True"),
        ({"cut": "polo"}, "the action 'zip' with the cut 'polo' is none of jacket: "),
        ({"begins": [10]}, "the action ends in frame 17"),
        ({"hat": 1}, "a script has person, cut"),
    ],
)
def test_scripts_that_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    (tmp_path / "script.json").write_text(json.dumps({**SCRIPT, **changes}))
    assert fitting.main([str(tmp_path / "script.json"), "--out", str(tmp_path / "samples")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "samples").exists()

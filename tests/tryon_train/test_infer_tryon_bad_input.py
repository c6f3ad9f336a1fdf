"""What infer.tryon says of samples that it cannot use, and of those that it uses otherwise."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tryon_model import pipeline_of  # pyright: ignore[reportMissingImports] - of tests/tryon
from tiny_tryon_runs import TryOnWorkspace

from infer import tryon
from vision.media import write_video
from vision.tryon.index import INDEX_NAME, SampleRecord, record_line
from vision.tryon.readers import read_samples

Change = Callable[[Path, SampleRecord], SampleRecord]


@pytest.fixture(scope="module")
def model(tryon_runs: TryOnWorkspace) -> Path:
    """A model of one step."""
    folder = tryon_runs.folder / "one-step"
    pipeline_of(max_prompt_tokens=24, default_num_inference_steps=1).save_pretrained(folder)
    return folder


def dress(model: Path, tryon_runs: TryOnWorkspace, folder: Path, change: Change) -> int:
    """Exit status of a job on one sample, changed."""
    sample = read_samples(tryon_runs.clips)[0]
    record = sample.record
    paths = {name: str(sample.path(name)) for name in ("video", "mask", "pose", "hand", "garment")}
    record = change(folder, replace(record, truth=None, unpaired_garment=None, unpaired_video=None, **paths))
    (folder / INDEX_NAME).write_text(record_line(record) + "\n")
    words = ["--model", str(model), "--index", str(folder), "--out", str(folder / "out")]
    return tryon.main([*words, "--size", "16x24", "--guidance-scale", "1"])


def unreadable(folder: Path, record: SampleRecord) -> SampleRecord:
    (folder / "cut.mp4").write_bytes(Path(record.video).read_bytes()[:2000])
    return replace(record, video=str(folder / "cut.mp4"))


def mask_of(value: int) -> Change:
    def change(folder: Path, record: SampleRecord) -> SampleRecord:
        write_video(torch.full((3, 17, 96, 72), value, dtype=torch.uint8), folder / "mask.mp4", 16)
        return replace(record, mask=str(folder / "mask.mp4"))

    return change


def transparent(folder: Path, record: SampleRecord) -> SampleRecord:
    pixels = np.asarray(Image.open(record.garment).convert("RGBA")).copy()
    pixels[:, :8, 3] = 0
    Image.fromarray(pixels).save(folder / "garment.png")
    return replace(record, garment=str(folder / "garment.png"))


def gone(folder: Path, record: SampleRecord) -> SampleRecord:
    return replace(record, garment=str(folder / "gone.png"))


def faster(folder: Path, record: SampleRecord) -> SampleRecord:
    return replace(record, fps=30)


def with_actions(*actions: tuple[int, int, str]) -> Change:
    return lambda folder, record: replace(record, actions=actions)


def short_pose(folder: Path, record: SampleRecord) -> SampleRecord:
    write_video(torch.zeros(3, 13, 96, 72, dtype=torch.uint8), folder / "pose.mp4", 16)
    return replace(record, pose=str(folder / "pose.mp4"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (unreadable, "cut.mp4"),
        (gone, "gone.png: No such file"),
        (mask_of(0), "000000: the mask is empty"),
        (short_pose, "000000: the pose has 13 frames, its video 17"),
        (with_actions((8, 4, "zip")), "ends before it begins"),
        (with_actions((4, 17, "zip")), "outside the clip"),
        (with_actions((4, 8, "zip " * 30)), "000000: the caption"),
    ],
    ids=["unreadable", "gone", "empty mask", "short pose", "reversed", "past the end", "long caption"],
)
def test_a_sample_that_cannot_be_is_named(
    tryon_runs: TryOnWorkspace,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Change,
    message: str,
) -> None:
    assert dress(model, tryon_runs, tmp_path, change) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and message in told, told
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (mask_of(255), "the mask is full"),
        (transparent, "is transparent in parts; it is laid on white"),
        (faster, "trained at 16 frames a second; 1 samples have others, as 000000 with 30"),
        (with_actions((1, 8, "zip"), (5, 12, "hem")), "they are split, and their captions joined by 'and'"),
    ],
    ids=["full mask", "transparent garment", "frame rate", "overlap"],
)
def test_a_sample_that_is_used_otherwise_is_warned_of(
    tryon_runs: TryOnWorkspace,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Change,
    message: str,
) -> None:
    assert dress(model, tryon_runs, tmp_path, change) == 0
    told = capsys.readouterr().err
    assert "warning: " in told and message in told, told
    assert len(list(tmp_path.glob("out/*.mp4"))) == 1


def test_captions_that_a_model_never_learned_are_left_out_once(
    tryon_runs: TryOnWorkspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tryon_runs.folder / "untold"
    pipeline_of(
        max_prompt_tokens=16, default_num_inference_steps=1, trained_with_actions=False
    ).save_pretrained(model)
    assert dress(model, tryon_runs, tmp_path, lambda folder, record: record) == 0
    told = capsys.readouterr().err
    assert told.count("was trained without captions of actions; those of 1 samples are left out") == 1


def test_two_samples_do_not_share_a_file(
    model: Path, tryon_runs: TryOnWorkspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = read_samples(tryon_runs.clips)[0].record
    lines = [record_line(replace(record, id=name)) for name in ("a/b", "a-b")]
    (tmp_path / INDEX_NAME).write_text("\n".join(lines))
    words = ["--model", str(model), "--index", str(tmp_path), "--out", str(tmp_path / "out")]
    assert tryon.main(words) == 2
    assert "several samples would be written as a-b.mp4, by their ids a-b, a/b" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--guidance-scale", "nan"], ["--inverted"], ["--vivid", "l", "--unpaired"]]
)
def test_options_that_cannot_be(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        tryon.main(["--model", "m", "--index", "i", "--out", "o", *words])

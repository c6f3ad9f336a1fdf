"""infer.tryon on clips of the studio: side by side, resumable, by one process or two."""

import io
import json
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
from forked import Forked  # pyright: ignore[reportMissingImports] - of tests/train
from PIL import Image
from tiny_runs import files  # pyright: ignore[reportMissingImports] - of tests/jobs
from tiny_tryon_model import ARCHITECTURE, pipeline_of  # pyright: ignore[reportMissingImports] - of tests/tryon
from tiny_tryon_runs import TryOnWorkspace

from infer import tryon
from vision.media import read_video, to_image, write_image, write_video
from vision.transformer import VideoTransformer
from vision.tryon.index import INDEX_NAME, record_line
from vision.tryon.readers import read_samples


def words(model: Path, tryon_runs: TryOnWorkspace, out: Path, *more: str) -> list[str]:
    index = tryon_runs.clips / INDEX_NAME
    return [
        *("--model", str(model), "--index", str(index), "--out", str(out), "--size", "16x24"),
        *("--steps", "1", "--guidance-scale", "1", "--window-overlap", "1", *more),
    ]


def test_videos_are_made_beside_the_filmed_ones_and_once(
    tryon_runs: TryOnWorkspace, tryon_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = words(tryon_run / "final", tryon_runs, tmp_path)
    assert tryon.main([*command, "--limit", "1"]) == 0
    before = files(tmp_path)
    assert {Path(name).suffix for name in before} == {".mp4", ".png", ".json"} and len(before) == 3
    capsys.readouterr()
    assert tryon.main(command) == 0
    assert "2 videos made, 1 were there already" in capsys.readouterr().out
    after = files(tmp_path)
    assert len(after) == 9 and all(after[name] == content for name, content in before.items())
    name = next(iter(sorted(after)))
    pixels, _ = read_video(tmp_path / Path(name).with_suffix(".mp4"))
    assert pixels.shape == (3, 17, 16, 48)
    record = json.loads((tmp_path / Path(name).with_suffix(".json")).read_text())
    assert record["actions"] and record["steps"] == 1 and record["seed"] == 0
    assert Image.open(tmp_path / Path(name).with_suffix(".png")).width > 8 * 24
    assert tryon.main([*command, "--seed", "1"]) == 2
    assert "was made with seed 0 (now 1)" in capsys.readouterr().err
    slower = tmp_path / "slower"
    slower.mkdir()
    sample = read_samples(tryon_runs.clips)[0]
    paths = {part: str(sample.path(part)) for part in ("video", "mask", "pose", "hand", "garment")}
    (slower / INDEX_NAME).write_text(record_line(replace(sample.record, fps=4, **paths)))
    assert tryon.main([*command, "--index", str(slower)]) == 2
    assert "was made with fps 16 (now 4)" in capsys.readouterr().err


def test_a_model_without_a_guider_says_what_it_leaves_out(
    tryon_runs: TryOnWorkspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline_of(VideoTransformer(**ARCHITECTURE).eval(), max_prompt_tokens=16).save_pretrained(
        tmp_path / "model"
    )
    assert tryon.main(words(tmp_path / "model", tryon_runs, tmp_path / "out", "--limit", "1", "--alone")) == 0
    assert "without a guider, so hands and actions of the samples are left out" in capsys.readouterr().err
    (video,) = (tmp_path / "out").glob("*.mp4")
    assert read_video(video)[0].shape == (3, 17, 16, 24)


def test_mistakes_in_a_command_of_tryon(
    tryon_runs: TryOnWorkspace, tryon_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = words(tryon_run / "final", tryon_runs, tmp_path)
    for more, message in (
        (["--split", "valid"], "no sample of the split 'valid'"),
        (["--unpaired"], "names no unpaired_garment"),
        (["--size", "20x24"], "height must be a multiple of 8"),
    ):
        assert tryon.main([*command, *more]) == 2
        assert message in capsys.readouterr().err


def test_samples_of_vivid_are_dressed(tryon_runs: TryOnWorkspace, tryon_run: Path, tmp_path: Path) -> None:
    sample, part = read_samples(tryon_runs.clips)[0], tmp_path / "dresses"
    for folder, name in (("videos", "video"), ("agnostic_mask", "mask"), ("densepose", "pose")):
        (part / folder).mkdir(parents=True)
        pixels = sample.video_of(name)
        write_video(255 - pixels if name == "mask" else pixels, part / folder / "7_detail.mp4", 16)
    (part / "images").mkdir()
    write_image(to_image(sample.garment()), part / "images" / "7.png")
    line = {"video": "7_detail.mp4", "image": "7.png", "front_seqs": [0, 13], "subdir": "dresses"}
    (tmp_path / "list.jsonl").write_text(json.dumps(line))
    command = words(tryon_run / "final", tryon_runs, tmp_path / "out", "--alone", "--index", str(tmp_path))
    assert tryon.main([*command, "--vivid", str(tmp_path / "list.jsonl"), "--inverted"]) == 0
    assert read_video(tmp_path / "out" / "7.mp4")[0].shape == (3, 13, 16, 24)


def test_two_processes_dress_as_one_does(tryon_runs: TryOnWorkspace, tryon_run: Path, tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert tryon.main(words(tryon_run / "final", tryon_runs, alone)) == 0
    # One of the three is there already, so that what is left is shared anew.
    command = words(tryon_run / "final", tryon_runs, shared, "--device", "cpu")
    assert tryon.main([*command, "--limit", "1"]) == 0
    outcomes = Forked(dressed, command, world_size=2).outcomes(timeout=400)
    assert [outcome.exit_code for outcome in outcomes] == [0, 0], [outcome.error for outcome in outcomes]
    (first, told), (second, silent) = (outcome.returned for outcome in outcomes)
    assert (first, second) == (0, 0)
    assert "2 videos made, 1 were there already" in told and not silent, "one process reports"
    assert files(shared) == files(alone)


def test_processes_fail_together(tryon_runs: TryOnWorkspace, tryon_run: Path, tmp_path: Path) -> None:
    command = words(tryon_run / "final", tryon_runs, tmp_path / "none", "--split", "valid", "--device", "cpu")
    first, second = Forked(dressed, command, world_size=2).outcomes(timeout=400)
    # The first says what is wrong, the other ends with the same status and says nothing.
    assert first.returned == (2, "") and second.exit_code == 2
    assert not (tmp_path / "none").exists()


def dressed(command: list[str]) -> tuple[int, str]:
    """Exit status and standard output of infer.tryon in a process of a group."""
    told = io.StringIO()
    with redirect_stdout(told):
        status = tryon.main(command)
    return status, told.getvalue()

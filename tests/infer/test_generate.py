"""Batch inference from the command line, with a tiny real pipeline."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_pipeline import tiny_pipeline  # pyright: ignore[reportMissingImports]

from infer.generate import main
from infer.pictures import pictures_of
from vision.lora.adapters import add_lora, save_lora

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = ["a red bag", "a boot", "a photo of a coat", "a boot", "dress"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_pipeline(default_sigmas=[1.0, 0.6], default_guidance_scale=2.0).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    path.write_text("\n".join(PROMPTS))
    return path


def arguments(model: Path, prompts: Path, out: Path, *more: str) -> list[str]:
    fixed = ["--model", str(model), "--prompts", str(prompts), "--out", str(out), "--device", "cpu"]
    return [*fixed, *more]


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "pictures.jsonl").read_text().splitlines()]


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in folder.glob("*-*.png")}


def assert_same_pictures(one: Path, other: Path) -> None:
    """Equal up to one level of 255: a kernel may round otherwise at another batch size."""
    left, right = pixels(one), pixels(other)
    assert left.keys() == right.keys()
    for name, picture in left.items():
        assert np.abs(picture.astype(int) - right[name].astype(int)).max() <= 1, name
    assert [record["noise_seed"] for record in records(one)] == [
        record["noise_seed"] for record in records(other)
    ]


@pytest.fixture(scope="module")
def drawn(model: Path, prompts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drawn")
    assert main(arguments(model, prompts, out, "--images-per-prompt", "2", "--batch-size", "4")) == 0
    return out


def test_every_picture_is_there_with_what_made_it(model: Path, drawn: Path):
    lines = records(drawn)
    expected = pictures_of(PROMPTS, 2)
    assert [line["file"] for line in lines] == [picture.file for picture in expected]
    assert sorted(pixels(drawn)) == sorted(line["file"] for line in lines)
    for line in lines:
        assert line["sha256"] == hashlib.sha256((drawn / line["file"]).read_bytes()).hexdigest()
        assert (line["steps"], line["sigmas"], line["guidance_scale"]) == (2, [1.0, 0.6], 2.0)
        assert (line["seed"], line["dtype"], line["height"], line["width"]) == (0, "float32", 8, 12)
        assert line["software"]["torch"] == torch.__version__
    assert len({line["sha256"] for line in lines}) == len(lines), "two pictures are the same"
    assert len({line["model_hash"] for line in lines}) == 1
    assert Image.open(drawn / "overview.png").width >= 2 * 12


def test_a_picture_is_what_the_pipeline_draws_from_its_recorded_seed(drawn: Path):
    line = records(drawn)[4]
    pipeline = tiny_pipeline()
    image = pipeline(
        line["prompt"],
        sigmas=line["sigmas"],
        guidance_scale=line["guidance_scale"],
        generator=torch.Generator().manual_seed(line["noise_seed"]),
    ).images[0]
    difference = np.asarray(image).astype(int) - np.asarray(Image.open(drawn / line["file"])).astype(int)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("batch_size", ["1", "3", "64"])
def test_the_batch_size_changes_nothing(
    model: Path, prompts: Path, drawn: Path, tmp_path: Path, batch_size: str
):
    more = ["--images-per-prompt", "2", "--batch-size", batch_size]
    assert main(arguments(model, prompts, tmp_path, *more)) == 0
    assert_same_pictures(tmp_path, drawn)


def test_two_processes_draw_what_one_draws(model: Path, prompts: Path, drawn: Path, tmp_path: Path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    files = ["--model", str(model), "--prompts", str(prompts), "--out", str(tmp_path)]
    options = ["--images-per-prompt", "2", "--batch-size", "2", "--dtype", "float32"]
    result = subprocess.run(
        [*launch, "-m", "infer.generate", *files, *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("10 pictures drawn") == 1, "one process reports"
    assert_same_pictures(tmp_path, drawn)


def test_a_second_run_draws_only_what_is_missing(
    model: Path, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    command = arguments(model, prompts, tmp_path)
    assert main(command) == 0
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.glob("*-*.png")}
    lines = records(tmp_path)
    gone, broken = lines[1]["file"], lines[3]["file"]
    (tmp_path / gone).unlink()
    (tmp_path / broken).write_bytes(before[broken][0][:-20])
    capsys.readouterr()
    assert main(command) == 0
    assert "2 pictures drawn, 3 were there already" in capsys.readouterr().out
    for name, (content, written) in before.items():
        assert (tmp_path / name).read_bytes() == content
        assert ((tmp_path / name).stat().st_mtime_ns == written) == (name not in (gone, broken))
    assert records(tmp_path) == lines


def test_killed_at_any_moment_it_goes_on(model: Path, tmp_path: Path):
    """SIGKILL after some pictures; the second run keeps the whole ones and ends as one left alone does."""
    many = tmp_path / "many.txt"
    many.write_text("\n".join(f"a bag {i}" for i in range(80)))
    command = [sys.executable, "-m", "infer.generate", *arguments(model, many, tmp_path / "killed")]
    job = subprocess.Popen(
        [*command, "--batch-size", "2"], cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        while len(list((tmp_path / "killed").glob("*.png"))) < 10:
            assert job.poll() is None, "the job ended by itself"
            time.sleep(0.01)
    finally:
        job.kill()
        job.wait()
    assert 10 <= len(pixels(tmp_path / "killed")) < 80
    assert not (tmp_path / "killed" / "pictures.jsonl").exists()
    assert main(arguments(model, many, tmp_path / "killed", "--batch-size", "2")) == 0
    assert main(arguments(model, many, tmp_path / "alone", "--batch-size", "2")) == 0
    assert_same_pictures(tmp_path / "killed", tmp_path / "alone")


def test_more_prompts_and_more_pictures_are_added(model: Path, tmp_path: Path, prompts: Path):
    few, out = tmp_path / "few.jsonl", tmp_path / "out"
    few.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS[1:3]))
    assert main(arguments(model, few, out)) == 0
    assert main(arguments(model, prompts, out, "--images-per-prompt", "2")) == 0
    assert [line["file"] for line in records(out)] == [picture.file for picture in pictures_of(PROMPTS, 2)]


def test_options_reach_the_sampler(model: Path, prompts: Path, drawn: Path, tmp_path: Path):
    pipeline = tiny_pipeline()
    add_lora(pipeline.transformer, rank=2, alpha=4.0)
    with torch.no_grad():
        for parameter in pipeline.transformer.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.3)
    save_lora(tmp_path / "lora", pipeline.transformer)
    base = pixels(drawn)
    for name, more in {
        "seed": ["--seed", "1"],
        "steps": ["--steps", "3"],
        "sigmas": ["--sigmas", "1,.5"],
        "guidance": ["--guidance-scale", "5"],
        "negative": ["--negative-prompt", "a red dress"],
        "lora": ["--lora", str(tmp_path / "lora")],
        "dtype": ["--dtype", "bfloat16"],
    }.items():
        assert main(arguments(model, prompts, tmp_path / name, *more)) == 0
        assert any((picture != base[file]).any() for file, picture in pixels(tmp_path / name).items()), name
    assert main(arguments(model, prompts, tmp_path / "size", "--height", "4", "--width", "6")) == 0
    assert {picture.shape for picture in pixels(tmp_path / "size").values()} == {(4, 6)}
    assert records(tmp_path / "lora")[0]["lora_hash"] is not None


def test_mistakes_end_with_a_message_and_status_2(
    model: Path, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    empty = tmp_path / "empty.txt"
    empty.write_text("\n\n")
    assert main(arguments(model, prompts, tmp_path / "used")) == 0
    file = tmp_path / "file"
    file.write_text("")
    for command, message in (
        (arguments(tmp_path, prompts, tmp_path / "a"), "not a pipeline's folder"),
        (arguments(model, empty, tmp_path / "b"), "holds no prompt"),
        (arguments(model, tmp_path / "none.txt", tmp_path / "c"), "cannot be read"),
        (arguments(model, prompts, tmp_path / "d", "--lora", str(tmp_path)), "does not exist"),
        (arguments(model, prompts, tmp_path / "e", "--height", "5"), "height must be a multiple of 2"),
        (arguments(model, prompts, tmp_path / "f", "--sigmas", "1,2"), "falling times"),
        (arguments(model, prompts, tmp_path / "g", "--steps", "3", "--sigmas", "1"), "there are 1 sigmas"),
        (arguments(model, prompts, tmp_path / "used", "--seed", "5"), r"made with seed 0 (now 5)"),
        (arguments(model, prompts, file), "File exists"),
    ):
        capsys.readouterr()
        assert main(command) == 2
        errors = capsys.readouterr().err
        assert message in errors
        assert "Traceback" not in errors
    for wrong in (["--batch-size", "0"], ["--sigmas", "a"], ["--step", "x"], ["--nonsense"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments(model, prompts, tmp_path / "h", *wrong))
        assert stopped.value.code == 2


def test_cut_prompts_are_named_once(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "long.txt"
    path.write_text("a bag\n" + "a red coat of a red dress of a bag\n" * 3)
    assert main(arguments(model, path, tmp_path / "out", "--batch-size", "1")) == 0
    errors = capsys.readouterr().err
    assert errors.count("were cut") == 1
    assert "warning: 1 of 2 prompts are longer than 8 tokens and were cut: 'a red coat" in errors
    assert "lost 4 of 12" in errors


def test_a_full_disk_keeps_what_is_whole(
    model: Path,
    prompts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    save = Image.Image.save
    calls = []

    def full_after_two(image: Image.Image, path: Path, kind: str) -> None:
        calls.append(path)
        if len(calls) > 2:
            path.write_bytes(b"half a pic")
            raise OSError(28, "No space left on device", str(path))
        save(image, path, kind)

    monkeypatch.setattr(Image.Image, "save", full_after_two)
    assert main(arguments(model, prompts, tmp_path)) == 2
    assert "No space left" in capsys.readouterr().err
    monkeypatch.undo()
    assert len(list(tmp_path.glob("*.png"))) == 2
    assert main(arguments(model, prompts, tmp_path)) == 0
    assert "3 pictures drawn, 2 were there already" in capsys.readouterr().out

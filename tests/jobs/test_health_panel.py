"""The health of a distillation, from recipe to panel."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forked import run_forked  # pyright: ignore[reportMissingImports] - of tests/train
from PIL import Image
from tiny_runs import CLASSES, SIZE, Workspace

from train import cdm
from train.previews import Pictures
from vision import TextToImagePipeline


def recipe_of(workspace: Workspace, output: str, teacher: Path, **train: Any) -> dict[str, Any]:
    """A run in float32 with a picture of each class in its previews."""
    recipe = workspace.cdm(output, teacher)
    recipe["train"] |= {"mixed_precision": "no", "preview_every": 2, **train}
    recipe["cdm"]["fixed_grid"] = [1.0, 0.75, 0.5, 0.25]  # drawn ones differ between processes
    recipe["preview"] = {"prompts": CLASSES, "seed": 5}
    return recipe


def health_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "health.json").read_text())


def notes_said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("health: ")]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def distil(recipe: Path) -> None:
    assert cdm.main([str(recipe)]) == 0


def test_a_healthy_student_beside_the_teachers_own_pictures(
    workspace: Workspace, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = recipe_of(workspace, "healthy", teacher, lr=1e-6)
    run = workspace.run(cdm.main, recipe)
    assert not notes_said(capsys)
    health = health_of(run)
    assert health["notes"] == {} and health["step"] == health["last_good"] == 4
    assert [(entry["step"], entry["outside"]) for entry in health["previews"]] == [(2, []), (4, [])]
    assert Image.open(run / "health.png").width > 600

    # The reference is what a user of the teacher gets from the same prompts and noise.
    pipeline = TextToImagePipeline.from_pretrained(teacher)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(CLASSES, generator=torch.Generator().manual_seed(5)).images
    Pictures(images).save(tmp_path / "expected.png")
    assert np.abs(pixels(run / "previews" / "teacher.png") - pixels(tmp_path / "expected.png")).max() <= 1
    brightness = np.mean([np.asarray(image).mean() / 255 for image in images])
    assert health["reference"]["means"]["mean"] == pytest.approx(brightness, abs=0.005)
    assert health["reference"]["about"] == {"prompts": CLASSES, "seed": 5}

    (run / "previews" / "teacher.png").rename(tmp_path / "teacher.png")
    workspace.run(cdm.main, recipe, "--resume", "latest")  # what is lost is drawn again
    assert np.array_equal(pixels(run / "previews" / "teacher.png"), pixels(tmp_path / "teacher.png"))
    assert health_of(run) == health


def test_a_student_that_burns_out_is_noted(
    workspace: Workspace, teacher: Path, capsys: pytest.CaptureFixture[str]
):
    settings = {"lr": 0.5, "clip_grad_norm": None, "ema_decay": None}
    run = workspace.run(cdm.main, recipe_of(workspace, "burnt", teacher, **settings))
    (said,) = notes_said(capsys)
    health = health_of(run)
    assert "saturated" in health["previews"][-1]["outside"] and "saturated" in said
    assert health["previews"][-1]["saturated"] > 3 * health["reference"]["means"]["saturated"] + 0.02
    assert health["last_good"] is None and "no preview was inside" in health["notes"]["previews"]


def test_a_run_without_a_teacher_shows_what_there_is(teacher_run: Path):
    health = health_of(teacher_run)
    assert [entry["step"] for entry in health["previews"]] == [2, 4]
    assert "reference" not in health and health["notes"] == {} and health["last_good"] is None
    assert (teacher_run / "health.png").is_file() and not (teacher_run / "previews" / "teacher.png").exists()


def test_two_sharded_processes_draw_the_reference_of_one(workspace: Workspace, teacher: Path):
    runs = []
    for processes in (1, 2):
        recipe = recipe_of(workspace, f"reference-{processes}", teacher, steps=2)
        recipe["train"]["batch_size"] = 8 // processes
        if processes == 1:
            workspace.run(cdm.main, recipe)
        else:
            recipe["train"]["sharding"] = "fsdp2"
            run_forked(distil, workspace.write(recipe), world_size=2)
        runs.append(Path(recipe["train"]["output"]))
    one, two = (pixels(run / "previews" / "teacher.png") for run in runs)
    assert one.shape == two.shape and one.shape[1] > 3 * SIZE
    assert np.abs(one - two).max() <= 1
    found = [health_of(run)["reference"] for run in runs]
    assert found[0]["about"] == found[1]["about"]
    assert found[0]["means"] == pytest.approx(found[1]["means"], abs=0.01)

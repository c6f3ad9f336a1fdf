"""The benchmark of try-ons: arms that are trained once, given models, targets, and the report."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_tryon_model import (  # pyright: ignore[reportMissingImports] - of tests/tryon
    ARCHITECTURE,
    tiny_text_encoder,
    tiny_tokenizer,
)
from tiny_tryon_runs import VACE  # pyright: ignore[reportMissingImports] - of tests/tryon_train

from benchmarks.tryon import comparing
from benchmarks.tryon.__main__ import main, options_of
from benchmarks.tryon.arms import ARMS, BASE, MAIN
from benchmarks.tryon.differences import told_difference
from benchmarks.tryon.planning import HANDLESS, planned_tasks
from benchmarks.tryon.settings import CONDITIONS, QUICK, Settings
from benchmarks.tryon.targets import targets
from train.recipes.load import load_recipe
from train.recipes.override import Override
from train.recipes.tryon import TryOnRecipe
from train.recipes.yaml_text import write_yaml
from vision.latents import TinyVideoAutoencoder
from vision.tryon.drawing.plan import planned_clips
from vision.tryon.evaluation.truth_files import TruthSet


def files(folder: Path) -> dict[str, int]:
    """When each file of runs and measures was last written; the index of clips is written anew each time."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and "studio" not in path.parts
    }


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, vae: TinyVideoAutoencoder) -> Path:
    """An autoencoder, a text encoder and a recipe."""
    folder = tmp_path_factory.mktemp("bench")
    vae.save_pretrained(folder / "vae")
    tiny_text_encoder().save_pretrained(folder / "text" / "text_encoder")
    tiny_tokenizer().save_pretrained(folder / "text" / "tokenizer")
    architecture = {name: value for name, value in ARCHITECTURE.items() if name not in VACE}
    train = {"output": "unused", "steps": 2, "batch_size": 2, "lr": 1e-3, "save_every": 2, "warmup_steps": 1}
    recipe = {
        "recipe": "tryon",
        "train": {**train, "mixed_precision": "no", "tracker": "none"},
        "model": {
            "vae": "unused",
            "architecture": {**architecture, "patch_size": [1, 6, 6]},
            "vace_layers": [0, 1],
        },
        "data": {"path": "unused", "split": "train", "height": 96, "width": 72, "frames": 17},
        "text": {"encoder": str(folder / "text"), "max_prompt_tokens": 16},
        "preview": {"steps": 1, "guidance_scale": 1.0},
    }
    (folder / "recipe.yaml").write_text(write_yaml(recipe))
    return folder


@pytest.mark.slow
def test_arms_are_trained_and_measured_once(
    parts: Path,
    truth: TruthSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    places = {
        "--vae": parts / "vae",
        "--cache": parts / "cache",
        "--truth": truth.folder.parent,
        "--work": work,
        "--out": out,
    }
    told = ["--quick", "--clips", "2", *(str(word) for place in places.items() for word in place)]
    words = [*told, "--recipe", str(parts / "recipe.yaml"), "--train-clips", "2", "--steps", "2"]
    words += ["--start-steps", "2", "--workers", "1"]
    assert main([*words, "--arms", "arope"]) == 0
    first = files(work)
    assert main([*words, "--arms", "no-hands", "arope"]) == 0  # goes on
    both = files(work)
    assert first.items() <= both.items() and len(both) > len(first)
    measures = json.loads((out / "results.json").read_text())["measures"]
    assert list(measures)[:2] == ["arope", "no-hands"] and len(measures) == 6
    found = measures["arope"]["runs"][0]["sets"]["decoy"]
    assert 0 < found["attention"]["mass"]["value"] < 1 and found["timing"]["iou"]["count"] == 2
    assert measures["truth"]["runs"][0]["sets"]["decoy"]["timing"]["iou"]["value"] > 0.9
    text = (out / "results.md").read_text()
    for said in ("A quick run", "Differences from A-RoPE", "--train-clips 2", "Machine", "±", "ImageNet"):
        assert said in text
    for name in ("strip-arope-decoy.png", "strip-no-hands-decoy.png"):
        assert (out / name).is_file() and name in text

    # Given models, what is measured of them among it: a student that is its teacher. One kind of clips.
    model = next(work.glob("arope-0-*")) / "run" / "final"
    monkeypatch.setattr(comparing, "model_truth", lambda frames, clips: {"decoy": truth.settings})
    given = [*told, "--model", str(model), "--model", str(model), "--name", "a", "--name", "b"]
    capsys.readouterr()
    assert main([*given, "--teacher", "a"]) == 0
    report = (out / "results.md").read_text()
    assert "a: " in report and "of 5" in report and "of 12" in report
    assert "temporal IoU, teacher's" in report and "**no**" in report
    for wrong, message in (
        (["--teacher", "nobody"], "expected one of a, b"),
        (["--name", "c"], "2 models with the names a, b, c"),
    ):
        assert main([*given, *wrong]) == 2
        assert message in capsys.readouterr().err


def test_mistakes_in_a_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, message in (
        (["--arms", "nothing"], "no arm is called nothing; expected some of no-captions, plain"),
        (["--vae", str(tmp_path)], "python -m train.autoencoder"),
    ):
        assert main(["--work", str(tmp_path), *wrong]) == 2
        assert message in capsys.readouterr().err


def overrides_of(task: dict[str, Any]) -> list[Override]:
    return [Override(tuple(key.split(".")), value) for key, value in task["changes"].items()]


def test_every_arm_is_a_recipe_of_its_own(parts: Path, tmp_path: Path) -> None:
    names = [arm.name for arm in ARMS]
    assert len(set(names)) == len(names) and set(MAIN.values()) <= set(names)
    assert {arm.condition for arm in ARMS} == set(CONDITIONS) == set(MAIN)
    options = options_of(["--vae", str(parts / "vae"), "--work", str(tmp_path)])
    start, tasks = planned_tasks(list(ARMS), 2, Settings(), options)
    assert len({task["folder"] for task in tasks}) == 2 * len(ARMS)
    recipes = []
    for task in tasks[: len(ARMS)]:
        recipe = load_recipe(TryOnRecipe, BASE, overrides_of(task))
        assert recipe.model.weights == f"{start['folder']}/run/final/transformer"
        kept = recipe.model_dump()
        del kept["train"]
        recipes.append(json.dumps(kept, sort_keys=True))
        assert Path(recipe.data.path).name == ("meta.jsonl" if task["hands"] else HANDLESS)
    assert len(set(recipes)) == len(ARMS)  # no arm does what another one does
    begun = load_recipe(TryOnRecipe, BASE, overrides_of(start))
    assert begun.guider is None and not begun.data.actions
    assert planned_tasks(list(ARMS), 2, Settings(), options) == (start, tasks)
    moved = options_of(["--vae", str(parts / "vae"), "--work", str(tmp_path / "moved")])
    _, again = planned_tasks(list(ARMS), 2, Settings(), moved)
    assert [Path(task["folder"]).name for task in again] == [Path(task["folder"]).name for task in tasks]
    for other in (Settings(train_clips=9), Settings(start_steps=9)):
        _, more = planned_tasks(list(ARMS), 1, other, options)
        assert not {task["folder"] for task in more} & {task["folder"] for task in tasks}


@pytest.mark.parametrize("settings", [Settings(), QUICK])
def test_clips_are_as_the_tables_say(settings: Settings) -> None:
    for condition in CONDITIONS:
        studio = settings.studio(condition)
        for plan in planned_clips(12, studio):
            share = sum(a.last - a.first + 1 for a in plan.actions) / studio.frames
            if condition != "segments":
                assert share <= 0.1 or settings.quick
            elif not settings.quick:
                assert len(plan.actions) >= 3  # each after a gap: six segments at least


def found_with(iou: float, inside: float, nearest: float, perceptual: float = 1.0) -> dict[str, Any]:
    kind = {"ssim_inside": inside, "nearest": nearest, "perceptual": perceptual}
    pictures = {name: {"value": value} for name, value in kind.items()}
    return {"sets": {"decoy": {"timing": {"iou": {"value": iou}}, "paired": pictures, "unpaired": pictures}}}


def test_targets() -> None:
    floor = found_with(0.1, 0.2, 0.05)
    assert all(target.reached for target in targets(found_with(0.81, 0.36, 0.96), floor))
    missed = targets(found_with(0.79, 0.34, 0.94), floor)
    assert len(missed) == 5 and not any(target.reached for target in missed)
    teacher = found_with(0.9, 0.6, 1.0)
    close = targets(found_with(0.82, 0.55, 0.96, 1.09), floor, teacher)
    assert len(close) == 12 and all(target.reached for target in close)
    behind = targets(found_with(0.80, 0.53, 0.89, 1.11), floor, teacher)[5:]
    assert not any(target.reached for target in behind)


def test_what_is_within_noise_is_called_that() -> None:
    assert told_difference((0.5, 0.03), (0.6, 0.04)) == "-0.100 ± 0.050, within noise"
    assert told_difference((0.4, 0.03), (0.6, 0.04)) == "-0.200 ± 0.050"
    assert told_difference((0.4, float("nan")), (0.6, 0.04)) == "-0.200, error unknown"
    assert told_difference((float("nan"), 0.1), (0.6, 0.04)) == ""


def test_a_longer_measurement_is_another_one() -> None:
    assert replace(QUICK, clips=5).truth("decoy").facts() != QUICK.truth("decoy").facts()
    assert QUICK.truth("decoy").facts() != QUICK.truth("informative").facts()

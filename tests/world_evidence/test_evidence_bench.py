"""The benchmark of worlds: arms that are trained once, given models, targets, and the report."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_evidence import (  # pyright: ignore[reportMissingImports] - of this folder
    CHANNELS,
    saved,
    streamed_autoencoder,
)
from tiny_world import ARCHITECTURE, write_clip  # pyright: ignore[reportMissingImports] - of tests/world

from benchmarks.arm_runs import recipe_words
from benchmarks.tables import pooled_runs
from benchmarks.world.__main__ import main, options_of
from benchmarks.world.arms import ARMS, BASES, changes_of, world_recipe
from benchmarks.world.matching import TOLERANCE, parameters
from benchmarks.world.planning import planned_tasks
from benchmarks.world.settings import QUICK
from benchmarks.world.targets import LOCAL, targets
from infer import release
from train.recipes.yaml_text import write_yaml
from vision import WorldPipeline
from vision.world.gamepad import STICKS

FEW = ("starts", "stick-starts", "sweep-starts", "seeds")
SMALL = [*(word for name in FEW for word in (f"--{name}", "1")), "--frames", "9", "--splits", "test"]


def files(folder: Path) -> dict[str, int]:
    """When each file was last written."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An autoencoder, clips and a recipe of two iterations."""
    folder = tmp_path_factory.mktemp("bench")
    streamed_autoencoder().save_pretrained(folder / "vae")
    for seed in range(2):
        write_clip(folder / "clips" / f"clip-{seed}", seed)
    train = {"output": "unused", "steps": 2, "batch_size": 2, "lr": 1e-3, "save_every": 1, "warmup_steps": 1}
    channels = {"in_channels": CHANNELS, "out_channels": CHANNELS}
    recipe = {
        "recipe": "world",
        "train": {**train, "mixed_precision": "no", "tracker": "none"},
        "model": {"vae": "unused", "architecture": {**ARCHITECTURE, **channels}},
        "data": {"path": "unused", "height": 16, "width": 16, "frames": 9},
        "preview": {"steps": 2},
    }
    (folder / "recipe.yaml").write_text(write_yaml(recipe))
    return folder


def test_arms_are_trained_and_measured_once(parts: Path, tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    places = {
        "--world-recipe": parts / "recipe.yaml",
        "--data": parts / "clips",
        "--vae": parts / "vae",
        "--cache": parts / "cache",
        "--truth": parts / "truth",
        "--work": work,
        "--out": out,
    }
    words = [*SMALL, *(str(word) for place in places.items() for word in place)]
    words += ["--drift-chunks", "6", "--drift-worlds", "4"]
    assert main([*words, "--arms", "scope"]) == 0
    first = files(work)
    assert main([*words, "--arms", "scope", "causal"]) == 0  # goes on
    both = files(work)
    assert first.items() <= both.items() and len(both) > len(first)
    assert main([*words, "--arms", "scope", "causal"]) == 0
    assert files(work) == both

    results = json.loads((out / "results.json").read_text())
    measures = results["measures"]
    assert list(measures) == ["scope", "causal", "autoencoder", "first frame"]
    scope, causal = (measures[name]["runs"][0] for name in ("scope", "causal"))
    assert scope["drift"] == {} and causal["drift"]["bins"] and causal["facts"]["chunk"] == 1
    assert causal["splits"]["test"]["presses"]["fire"]["pre_onset_energy"]["value"] == 0
    text = (out / "results.md").read_text()
    for told in ("SCOPE causal", "--sweep-starts 1", "scale 3.0", "On unseen maps", "Drift", "Machine"):
        assert told in text
    for name in (
        "strip-scope.png",
        "strip-causal.png",
        "drift.png",
        "response_curves.png",
        "gain_leakage.png",
    ):
        assert (out / name).is_file() and name in text

    (run,) = work.glob("causal-*/run")
    released = ["--run", str(run), "--out", str(out / "world"), "--results", str(out / "results.json")]
    assert release.main([*released, "--label", "SCOPE causal"]) == 0
    assert WorldPipeline.from_pretrained(out / "world").transformer.causality is not None
    card = (out / "world" / "README.md").read_text()
    assert "| gain of fire |" in card

    # What is lost is made again, and nothing else; here a measure, and the mark that a training is over.
    (lost,) = work.glob("evaluations/world-*/drift*.json")
    content = lost.read_text()
    lost.unlink()
    (trained,) = work.glob("scope-*/trained.json")
    trained.unlink()
    assert main([*words, "--arms", "scope", "causal"]) == 0
    again = files(work)
    assert lost.read_text() == content and trained.is_file()
    changed = {name for name in again if again[name] != both.get(name)}
    assert not [name for name in changed if name.startswith("causal-") or "checkpoints" in name]
    # Another recipe is another training.
    changed_recipe = parts / "other.yaml"
    changed_recipe.write_text((parts / "recipe.yaml").read_text().replace("0.001", "0.002"))
    words[words.index("--world-recipe") + 1] = str(changed_recipe)
    assert main([*words, "--arms", "scope"]) == 0
    assert len(list(work.glob("scope-0-*"))) == 2


def test_students_belong_to_their_teachers(parts: Path, tmp_path: Path) -> None:
    arms = [arm for arm in ARMS if arm.name in ("student-2", "causal")]
    words = ["--data", "clips", "--vae", str(parts / "vae"), "--work", str(tmp_path)]

    def planned(*more: str) -> list[dict[str, Any]]:
        return planned_tasks(arms, 2, QUICK, options_of([*words, *more]))

    tasks = planned()
    assert [(task["arm"], task["seed"]) for task in tasks] == [
        ("causal", 0), ("student-2", 0), ("causal", 1), ("student-2", 1)
    ]  # fmt: skip
    assert len({task["folder"] for task in tasks}) == 4
    teacher, student = tasks[2:]
    told = recipe_words(student)
    assert student["module"] == "train.cdm" and told[0].endswith("student.yaml")
    assert told[told.index("--teacher") + 1] == f"{teacher['folder']}/run/final"
    assert told[told.index("--cdm.fixed_grid") + 1] == "[1.0, 0.5]"
    assert told[told.index("--train.seed") + 1] == "1" and told[-2:] == ["--resume", "latest"]
    others = planned("--world-recipe", str(parts / "recipe.yaml"))
    assert all(a["folder"] != b["folder"] for a, b in zip(tasks, others, strict=True))
    assert [task["folder"] for task in planned()] == [task["folder"] for task in tasks]


def test_given_models_are_judged(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher, student = saved(tmp_path / "teacher", 16, 1), saved(tmp_path / "student", 16, 3)
    words = [*SMALL, "--drift-chunks", "0", "--truth", str(parts / "truth")]
    words += ["--work", str(tmp_path / "work"), "--model", str(teacher), "--model", str(student)]
    assert main([*words, "--name", "a", "--name", "b", "--teacher", "a"]) == 0
    report = (tmp_path / "work" / "models" / "results.md").read_text()
    assert "of 12" in report and "of 24" in report and "gain of fire, teacher's" in report
    capsys.readouterr()
    for wrong, told in (
        (["--name", "a"], "2 models with the names a"),
        (["--teacher", "nobody"], "expected one of teacher, student"),
        (["--splits", "train"], "expected test"),
        (["--frames", "8"], "4n + 1"),
    ):
        assert main([*words, *wrong]) == 2
        assert told in capsys.readouterr().err
    assert main(["--arms", "nothing", *SMALL]) == 2
    assert "no arm is called nothing" in capsys.readouterr().err
    assert main(["--arms", "student-4", *SMALL]) == 2
    assert "add causal to --arms" in capsys.readouterr().err


def test_the_arm_of_the_other_module_is_as_large() -> None:
    arms = {arm.name: arm for arm in ARMS}
    sizes = {}
    for name in ("adaln", "scope"):
        recipe = world_recipe(BASES["world"], changes_of(arms[name], BASES["world"], {}))
        sizes[name] = parameters(recipe)
        assert recipe.actions.module == ("action_adaln" if name == "adaln" else "action")
    assert sizes["adaln"] == pytest.approx(sizes["scope"], rel=TOLERANCE)
    for name in ("null-key", "causal"):
        assert world_recipe(BASES["world"], changes_of(arms[name], BASES["world"], {}))


def found_with(sign: float, gain: float, leakage: float) -> dict[str, Any]:
    presses = {name: {"gain": {"value": gain}, "leakage": {"value": leakage}} for name in LOCAL}
    return {
        "splits": {"test": {"presses": presses, "sticks": {s: {"sign": {"value": sign}} for s in STICKS}}}
    }


def test_targets() -> None:
    assert all(target.reached for target in targets(found_with(0.96, 0.61, 0.09)))
    assert [t.reached for t in targets(found_with(0.94, 0.61, 0.11))] == [False] * 4 + [True, False] * 4
    behind = targets(found_with(0.96, 0.8, 0.09), found_with(1.0, 1.0, 0.05))
    assert [t.reached for t in behind[12:]] == [True] * 4 + [False] * 8
    close = targets(found_with(0.96, 0.91, 0.054), found_with(1.0, 1.0, 0.05))
    assert all(t.reached for t in close)


def test_seeds_are_averaged_with_their_standard_error() -> None:
    facts = [{"value": value, "error": 0.5} for value in (1.0, 2.0, 3.0)]
    assert pooled_runs([*facts, None, {"value": None, "error": None}]) == (2.0, pytest.approx(1 / 3**0.5))
    assert pooled_runs(facts[:1]) == (1.0, 0.5)
    assert pooled_runs([None])[0] != pooled_runs([None])[0]  # NaN

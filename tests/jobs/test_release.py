"""infer.compare measures pipelines, and infer.release publishes them with what was measured."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_runs import CLASSES, SIZE, Workspace, files

import vision.whole_file
from infer import compare, release
from vision import TextToImagePipeline
from vision.metrics import FeatureNetwork
from vision.weights import weight_shapes

TEACHER, STUDENT = "teacher, 3 steps", "student, 4 steps"


@pytest.fixture(scope="session")
def results(workspace: Workspace, metrics: Path, teacher: Path, student_run: Path) -> Path:
    """results.json of a comparison of teacher and student."""
    out = workspace.folder / "comparison"
    command = ["--prompts", str(workspace.prompts), "--metrics", str(metrics), "--out", str(out)]
    command += ["--arm", TEACHER, str(teacher), "3", "--arm", STUDENT, str(student_run / "final"), "4"]
    assert compare.main([*command, "--samples", "140", "--batch-size", "50", "--dtype", "float32"]) == 0
    return out / "results.json"


def command(run: Path, out: Path, results: Path | None = None, *more: str) -> list[str]:
    measured = [] if results is None else ["--results", str(results), "--label", STUDENT]
    return ["--run", str(run), "--out", str(out), *measured, *more]


def card(folder: Path) -> tuple[dict, str, dict]:
    """Header, text and configuration of a card."""
    _, header, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(header), text, yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])


def test_compare_measures_every_arm(results: Path):
    rows = {row["label"]: row for row in json.loads(results.read_text())["rows"]}
    assert list(rows) == [TEACHER, STUDENT]
    assert rows[TEACHER]["evaluations"] == 6 and rows[STUDENT]["evaluations"] == 4  # guidance asks twice
    for row in rows.values():
        assert row["samples"] == 140 and row["frechet"] > 0 and 0 <= row["accuracy"] <= 1
        assert row["seconds"] > 0
    table = (results.parent / "table.md").read_text()
    assert all(f"| {label} |" in table for label in rows)
    assert (results.parent / "comparison.png").stat().st_size > 0


def test_compare_says_what_is_wrong(
    workspace: Workspace, metrics: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    two = tmp_path / "two.txt"
    two.write_text("a left half\na right half\n")

    def arguments(
        prompts: Path, model: Path, steps: str = "4", metrics: Path = metrics, samples: str = "130"
    ) -> list[str]:
        words = ["--prompts", str(prompts), "--metrics", str(metrics), "--out", str(tmp_path / "out")]
        return [*words, "--arm", "x", str(model), steps, "--samples", samples]

    for words, message in (
        (arguments(two, teacher), f"has 2 prompts and the classifier of {metrics} 3 classes"),
        (
            arguments(workspace.prompts, teacher, "many"),
            "an arm's steps are 'many'; expected a number from 1",
        ),
        (arguments(workspace.prompts, tmp_path), "is not a pipeline's folder"),
        (arguments(workspace.prompts, metrics), "is not a pipeline's folder"),
        (arguments(workspace.prompts, teacher, metrics=teacher), "holds no feature network"),
        (arguments(tmp_path / "none.txt", teacher), "cannot be read"),
        (arguments(workspace.prompts, teacher, samples="128"), "needs more than 128 of each"),
    ):
        assert compare.main(words) == 2
        shown = capsys.readouterr().err
        assert message in shown and shown.startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_a_released_pipeline_is_small_whole_and_describes_itself(
    student_run: Path,
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "models" / "half-student"
    more = ["--reference-label", TEACHER, "--data-source", "Made by a test (CC0)", "--title", "Halves"]
    assert release.main(command(student_run, out, results, *more)) == 0
    assert "warning" not in capsys.readouterr().err
    stored = load_file(out / "transformer" / "diffusion_pytorch_model.safetensors")
    assert stored["blocks.0.attn1.to_q.weight"].dtype == torch.bfloat16
    assert stored["blocks.0.scale_shift_table"].dtype == torch.float32  # as diffusers loads it
    original = load_file(student_run / "final" / "transformer" / "diffusion_pytorch_model.safetensors")
    assert all(torch.equal(value, original[key].to(value.dtype)) for key, value in stored.items())
    pipeline = TextToImagePipeline.from_pretrained(out)
    assert pipeline.config["default_sigmas"] == [1.0, 0.75, 0.5, 0.25]
    assert not any(str(student_run) in path.read_text() for path in out.rglob("*.json"))

    header, text, configuration = card(out)
    assert header == {"license": "apache-2.0", "library_name": "diffusers", "pipeline_tag": "text-to-image"}
    assert "# Halves" in text and "Made by a test (CC0)" in text and "Seed 3" in text
    for row in json.loads(results.read_text())["rows"]:
        assert f"{row['frechet']:.4g}" in text and f"{row['accuracy']:.4g}" in text
    assert f"|  | {STUDENT} | {TEACHER} |\n| --- | --- | --- |\n| model | student | teacher |" in text
    assert configuration["teacher"] == "teacher/final" and configuration["prompts"] == "prompts.txt"
    assert configuration["cdm"]["max_rollout_steps"] == 3 and configuration["train"]["output"] == "student"
    (record,) = (json.loads(line) for line in (student_run / "sessions.jsonl").read_text().splitlines())
    assert f"code {record['code']}" in text and f"| device | {record['device']} |" in text
    assert "| time | 0 min" in text and "killed process" not in text
    call = text.split("```python\n")[1].split("```")[0]
    assert 'from_pretrained("models/half-student")' in call and 'pipeline("a left half")' in call
    inside = {"pipeline": None}
    exec(call, inside)
    assert (tmp_path / "picture.png").is_file()


def test_a_lora_is_released_with_its_settings(lora_run: Path, results: Path, tmp_path: Path):
    out = tmp_path / "adapter"
    assert release.main(command(lora_run, out, results)) == 0
    name = "pytorch_lora_weights.safetensors"
    with safe_open(out / name, "pt") as found, safe_open(lora_run / "final" / name, "pt") as before:
        assert found.metadata() == before.metadata() and list(found.keys()) == list(before.keys())
        assert all(found.get_tensor(key).dtype == torch.bfloat16 for key in found.keys())  # noqa: SIM118
    _, text, _ = card(out)
    assert 'pipeline.load_lora_weights("adapter")' in text and "sigmas=[1.0, 0.75, 0.5, 0.25]" in text


def test_a_feature_network_keeps_the_weights_of_its_statistics(
    metrics: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    out = Path("features")
    assert release.main(command(metrics.parent, out)) == 0
    for name, content in files(metrics).items():
        assert name == "README.md" or (out / name).read_bytes() == content
    header, text, _ = card(out)
    assert header["pipeline_tag"] == "image-classification"
    assert "accuracy on 150 pictures of test-images.gz" in text
    call = text.split("```python\n")[1].split("```")[0]
    inside = {"pixels": torch.zeros(1, 1, SIZE, SIZE)}
    exec(call, inside)
    assert inside["scores"].shape == (1, len(CLASSES))
    FeatureNetwork.from_pretrained(out)


def test_a_run_has_a_card_before_it_is_measured(teacher_run: Path):
    header, text, configuration = card(teacher_run / "final")
    assert header["license"] == "apache-2.0" and "# teacher" in text
    assert "Not measured yet; measure with infer.compare" in text
    assert configuration["data"]["path"] == "train-images.gz" and configuration["train"]["lr"] == 2e-3
    count = sum(
        torch.Size(shape).numel() for shape in weight_shapes(teacher_run / "final/transformer").values()
    )
    assert f"{count:,} parameters" in text


def test_an_older_run_without_sessions_says_so(student_run: Path, results: Path, tmp_path: Path):
    copy = tmp_path / "run"
    copy.mkdir()
    (copy / "final").symlink_to(student_run / "final")
    (copy / "recipe.yaml").write_bytes((student_run / "recipe.yaml").read_bytes())
    assert release.main(command(copy, tmp_path / "out", results)) == 0
    assert "| time | not recorded |" in (tmp_path / "out" / "README.md").read_text()
    record = {"from_step": 0, "to_step": 3, "seconds": 3725.0, "code": "0.1.0"}
    record |= dict.fromkeys(["device", "threads", "processes", "torch", "diffusers"], "x")
    (copy / "sessions.jsonl").write_text(json.dumps(record) + "\n")
    assert release.main(command(copy, tmp_path / "out", results, "--overwrite")) == 0
    text = (tmp_path / "out" / "README.md").read_text()
    assert "| time | 1 h 2 min, without 1 iterations of a killed process |" in text


def test_mistakes_leave_what_was_there(
    student_run: Path,
    metrics: Path,
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    out = tmp_path / "model"
    used = tmp_path / "used"
    used.mkdir()
    (used / "precious.txt").write_text("mine")
    before = files(tmp_path)
    for words, message in (
        (command(student_run, used, results), "is not empty; choose another --out"),
        (command(tmp_path, out, results), "holds no finished run"),
        (command(student_run, out), "measure it with python -m infer.compare"),
        (
            ["--run", str(student_run), "--out", str(out), "--results", str(results), "--label", "x"],
            "no row 'x'",
        ),
        (command(student_run, out, used / "precious.txt"), "is not a results.json of infer.compare"),
        (command(metrics.parent, out, None, "--dtype", "bfloat16"), "leave --dtype out"),
    ):
        assert release.main(words) == 2
        assert message in capsys.readouterr().err
        assert files(tmp_path) == before and not out.exists()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("infer.publication.write_model_card", full)
    assert release.main(command(student_run, used, results, "--overwrite")) == 2
    assert "could not be written: [Errno 28]" in capsys.readouterr().err
    assert files(tmp_path) == before
    monkeypatch.undo()
    assert release.main(command(student_run, used, results, "--overwrite")) == 0
    assert not (used / "precious.txt").exists() and (used / "model_index.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["used"]


def test_a_number_of_another_model_is_noticed(
    lora_run: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert release.main(command(lora_run, tmp_path / "out", results)) == 0
    assert f"warning: {STUDENT!r} was measured of" in capsys.readouterr().err


@pytest.mark.parametrize("moment", ["while filling", "between the renamings"])
def test_a_folder_written_aside_survives_a_kill(tmp_path: Path, moment: str):
    target = tmp_path / "model"
    target.mkdir()
    (target / "a").write_text("old")
    (tmp_path / ".model.new").mkdir()
    (tmp_path / ".model.new" / "half").write_text("ha")
    if moment == "between the renamings":
        target.rename(tmp_path / ".model.old")
    with pytest.raises(KeyError), vision.whole_file.folder_written_aside(target) as folder:
        assert not list(folder.iterdir())
        raise KeyError
    assert files(tmp_path) == {"model/a": b"old"}
    with vision.whole_file.folder_written_aside(target) as folder:
        (folder / "b").write_text("new")
    assert files(tmp_path) == {"model/b": b"new"} and len(list(tmp_path.iterdir())) == 1

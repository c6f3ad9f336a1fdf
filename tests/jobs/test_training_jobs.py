"""The entry points of training from recipe to model, with tiny real networks."""

import json
from pathlib import Path

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from forked import run_forked  # pyright: ignore[reportMissingImports] - of tests/train
from PIL import Image
from safetensors.torch import load_file
from tiny_runs import CLASSES, SIZE, Workspace, files

from infer import encode_prompts, generate
from train import base, cdm, features
from train.recipes.yaml_text import read_yaml
from vision import TextToImagePipeline
from vision.distill.few_step import FewStep
from vision.metrics import FeatureNetwork, FeatureStatistics
from vision.transformer import VideoTransformer

GRID = [1.0, 0.75, 0.5, 0.25]


def load(folder: Path, **options) -> TextToImagePipeline:
    pipeline = TextToImagePipeline.from_pretrained(folder, **options)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: TextToImagePipeline, **options) -> torch.Tensor:
    noise = torch.randn(1, 1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(7))
    return pipeline("a left half", latents=noise, output_type="pt", **options).images


def weights(checkpoint: Path, kind: str, name: str) -> dict[str, torch.Tensor]:
    return load_file(checkpoint / kind / f"{name}.safetensors")


def test_features_make_a_network_and_the_statistics_of_held_out_pictures(metrics: Path):
    network = FeatureNetwork.from_pretrained(metrics)
    statistics, facts = FeatureStatistics.load(metrics / "statistics.safetensors")
    assert network.config["num_classes"] == len(CLASSES)
    assert statistics.count == 150 and facts["data"] == "test-images.gz"
    assert float(facts["accuracy"]) > 0.9  # the classes are told apart by a glance


def test_base_makes_a_pipeline_of_averaged_weights(teacher_run: Path):
    pipeline = load(teacher_run / "final")
    assert pipeline.config["default_height"] == SIZE and pipeline.config["max_prompt_tokens"] == 8
    assert pipeline.config["default_num_inference_steps"] == 3
    assert pipeline.config["default_guidance_scale"] == 2.0
    averaged = weights(teacher_run / "checkpoints" / "step-00000004", "ema", "model")
    found = pipeline.transformer.state_dict()
    assert found.keys() == averaged.keys()
    assert all(torch.equal(found[key], averaged[key]) for key in found)
    assert draw(pipeline).shape == (1, 1, SIZE, SIZE)


def test_previews_curves_and_log_are_there(teacher_run: Path):
    previews = sorted(path.name for path in (teacher_run / "previews").iterdir())
    assert previews == ["step-00000002.png", "step-00000004.png"]
    assert Image.open(teacher_run / "previews" / previews[0]).width >= 2 * SIZE
    assert Image.open(teacher_run / "curves.png").width > 100
    steps = [json.loads(line)["step"] for line in (teacher_run / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]


def test_a_resumed_run_makes_the_same_model(workspace: Workspace, teacher_run: Path):
    half = workspace.base("halves")
    half["train"]["steps"] = 2
    workspace.run(base.main, half)
    whole = workspace.base("halves")
    run = workspace.run(base.main, whole, "--resume", "latest")
    name = "transformer/diffusion_pytorch_model.safetensors"
    assert (run / "final" / name).read_bytes() == (teacher_run / "final" / name).read_bytes()
    again = files(run / "checkpoints")
    workspace.run(base.main, whole, "--resume", "latest")  # nothing is left to do but to export
    assert files(run / "checkpoints") == again
    assert not [path.name for path in run.iterdir() if path.name.startswith(".final")]


def test_base_goes_on_from_weights(workspace: Workspace, teacher: Path):
    recipe = workspace.base("tuned")
    recipe["model"] = {"weights": str(teacher / "transformer")}
    recipe["train"] |= {"lr": 1e-9, "ema_decay": None, "weight_decay": 0, "mixed_precision": "no"}
    tuned = load(workspace.run(base.main, recipe) / "final").transformer.state_dict()
    before = VideoTransformer.from_pretrained(teacher / "transformer").state_dict()
    assert all(torch.allclose(tuned[key], before[key], atol=1e-6) for key in before)
    assert any(not torch.equal(tuned[key], before[key]) for key in before)


def test_base_makes_a_lora_that_its_pipeline_loads(workspace: Workspace, teacher: Path):
    recipe = workspace.base("adapter")
    recipe["model"] = {"weights": str(teacher / "transformer")}
    recipe["lora"] = {"rank": 2, "alpha": 4.0, "target_modules": "attention"}
    recipe["train"] |= {"lr": 0.05}
    final = workspace.run(base.main, recipe) / "final"
    assert sorted(path.name for path in final.iterdir()) == ["README.md", "pytorch_lora_weights.safetensors"]
    pipeline = load(teacher)
    before = draw(pipeline)
    pipeline.load_lora_weights(str(final))
    assert not torch.equal(draw(pipeline), before)
    pipeline.unload_lora_weights()
    assert torch.equal(draw(pipeline), before)


def test_a_student_carries_its_grid_and_loads_in_diffusers(student_run: Path, teacher: Path):
    student = load(student_run / "final")
    assert student.config["default_sigmas"] == GRID and student.config["default_guidance_scale"] == 1.0
    evaluations = []
    student.transformer.register_forward_hook(lambda *_: evaluations.append(1))
    picture = draw(student)
    assert len(evaluations) == 4
    assert torch.equal(picture, draw(student, sigmas=GRID))
    wan = WanTransformer3DModel.from_pretrained(student_run / "final" / "transformer")
    theirs = draw(load(student_run / "final", transformer=wan))
    assert torch.allclose(theirs, picture, atol=1e-4)
    assert load(teacher).config["default_sigmas"] is None
    assert (student_run / "previews" / "step-00000004.png").is_file()


def test_a_student_is_the_average_in_full_precision(student_run: Path, teacher: Path):
    """The loop keeps a frozen teacher in bfloat16, and the student began as its copy."""
    averaged = weights(student_run / "checkpoints" / "step-00000004", "ema", "student")
    found = load_file(student_run / "final" / "transformer" / "diffusion_pytorch_model.safetensors")
    assert found.keys() == averaged.keys()
    assert all(torch.equal(found[key], averaged[key]) for key in found)
    before = load_file(teacher / "transformer" / "diffusion_pytorch_model.safetensors")
    assert any(not torch.equal(found[key], before[key]) for key in found)


def test_a_student_may_be_an_adapter_of_its_teacher(lora_run: Path, teacher: Path):
    final = lora_run / "final"
    names = ["README.md", "few_step.json", "pytorch_lora_weights.safetensors"]
    assert sorted(path.name for path in final.iterdir()) == names
    assert FewStep.load(final) == FewStep(GRID, 1.0)
    pipeline = load(teacher)
    before = draw(pipeline, sigmas=GRID, guidance_scale=1.0)
    pipeline.load_lora_weights(str(final))
    assert not torch.equal(draw(pipeline, sigmas=GRID, guidance_scale=1.0), before)
    fake = weights(lora_run / "checkpoints" / "step-00000004", "networks", "fake")
    assert any("lora_A" in key for key in fake) and any("lora" not in key for key in fake)  # and the anchor's


def test_a_whole_student_may_have_an_adapter_as_fake_score(workspace: Workspace, teacher: Path, capsys):
    recipe = workspace.cdm("student-lora-fake", teacher)
    recipe |= {"memory": "lora_fake", "lora": {"rank": 2, "alpha": 4.0}}
    run = workspace.run(cdm.main, recipe)
    step = run / "checkpoints" / "step-00000004"
    student, fake = (weights(step, "networks", name) for name in ("student", "fake"))
    assert fake and all("lora_" in key for key in fake)
    before = load_file(teacher / "transformer" / "diffusion_pytorch_model.safetensors")
    found = load_file(run / "final" / "transformer" / "diffusion_pytorch_model.safetensors")
    assert found.keys() == before.keys() == student.keys()
    assert any(not torch.equal(found[key], before[key]) for key in found)
    assert "LoRA" not in (run / "final" / "README.md").read_text()
    assert read_yaml((run / "recipe.yaml").read_text())[0]["cdm"]["fake_merge"] == 1.0

    capsys.readouterr()
    workspace.run(cdm.main, recipe, "--dry-run")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    counts = {row[0]: row[1:3] for row in rows if row and row[0] in ("student", "fake", "teacher")}
    parameters = f"{sum(value.numel() for value in before.values()) / 1e3:.2f}k"
    assert counts["student"] == [parameters, "0"] and counts["teacher"] == ["0", parameters]
    assert counts["fake"] == [f"{sum(value.numel() for value in fake.values()) / 1e3:.2f}k", "0"]


def test_prompts_may_come_encoded(workspace: Workspace, teacher: Path, student_run: Path):
    out = workspace.folder / "prompts.safetensors"
    words = ["--model", str(teacher), "--prompts", str(workspace.prompts), "--out", str(out)]
    assert encode_prompts.main(words) == 0
    recipe = workspace.cdm("student-of-embeddings", teacher)
    recipe["prompts"] = str(out)
    recipe["train"]["preview_every"] = 0
    recipe["preview"]["prompts"] = []
    run = workspace.run(cdm.main, recipe)
    name = "transformer/diffusion_pytorch_model.safetensors"
    assert (run / "final" / name).read_bytes() == (student_run / "final" / name).read_bytes()


def test_batch_inference_takes_student_and_adapter(
    workspace: Workspace, teacher: Path, student_run: Path, lora_run: Path
):
    def pictures(name: str, model: Path, *more: str) -> list[bytes]:
        out = workspace.folder / name
        words = ["--model", str(model), "--prompts", str(workspace.prompts), "--out", str(out), *more]
        assert generate.main(words) == 0
        records = [json.loads(line) for line in (out / "pictures.jsonl").read_text().splitlines()]
        assert [record["sigmas"] for record in records] == [GRID] * len(CLASSES)
        return [(out / record["file"]).read_bytes() for record in records]

    grid = ["--sigmas", ",".join(map(str, GRID)), "--guidance-scale", "1"]
    plain = pictures("drawn-plain", teacher, *grid)
    adapted = pictures("drawn-adapted", teacher, *grid, "--lora", str(lora_run / "final"))
    distilled = pictures("drawn-distilled", student_run / "final")
    assert all(len({a, b, c}) == 3 for a, b, c in zip(plain, adapted, distilled, strict=True))


def distil(recipe: Path) -> None:
    assert cdm.main([str(recipe)]) == 0


def test_two_sharded_processes_make_the_model_of_one(workspace: Workspace, teacher: Path):
    """Each holds half of student, fake score and teacher; one of them writes whole weights."""
    made = {}
    for processes in (1, 2):
        recipe = workspace.cdm(f"of-{processes}", teacher)
        recipe["train"] |= {"batch_size": 8 // processes, "mixed_precision": "no", "preview_every": 0}
        recipe["cdm"]["fixed_grid"] = GRID  # drawn ones differ between processes
        if processes == 1:
            workspace.run(cdm.main, recipe)
        else:
            recipe["train"]["sharding"] = "fsdp2"
            run_forked(distil, workspace.write(recipe), world_size=2)
        run = Path(recipe["train"]["output"])
        made[processes] = load_file(run / "final" / "transformer" / "diffusion_pytorch_model.safetensors")
        (record,) = (json.loads(line) for line in (run / "sessions.jsonl").read_text().splitlines())
        assert record["processes"] == processes
        assert f"| processes | {processes} |" in (run / "final" / "README.md").read_text()
    assert made[1].keys() == made[2].keys()
    for key, weight in made[1].items():
        assert torch.allclose(made[2][key], weight, atol=1e-5), (key, (made[2][key] - weight).abs().max())


@pytest.mark.parametrize("kind", ["base", "cdm", "features"])
def test_a_dry_run_tells_counts_and_memory_and_leaves_nothing(
    workspace: Workspace, teacher: Path, kind: str, capsys: pytest.CaptureFixture[str]
):
    recipes = {
        "base": (base.main, workspace.base("dry")),
        "cdm": (cdm.main, workspace.cdm("dry", teacher)),
        "features": (features.main, workspace.features("dry")),
    }
    main, recipe = recipes[kind]
    recipe["cache"] = str(workspace.folder / "dry-cache")
    if kind == "features":
        del recipe["cache"]
    workspace.run(main, recipe, "--dry-run")
    shown = capsys.readouterr().out
    assert f"recipe: {recipe['recipe']}" in shown and "seed: 3" in shown
    names = {"base": ["model"], "cdm": ["student", "fake", "teacher"], "features": ["classifier"]}[kind]
    rows = [line.split() for line in shown.splitlines() if line.split()[:1] and line.split()[0] in names]
    assert [row[0] for row in rows] == names and all(row[1] != "0" or row[0] == "teacher" for row in rows)
    assert "on one process" in shown and "iterations" in shown
    assert not (workspace.folder / "dry").exists() and not (workspace.folder / "dry-cache").exists()

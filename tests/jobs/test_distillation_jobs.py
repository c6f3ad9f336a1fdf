"""train.distill: every method from recipe to a model that the pipeline draws with."""

import json
from pathlib import Path

import pytest
import torch
from diffusers.schedulers.scheduling_flow_match_lcm import FlowMatchLCMScheduler
from safetensors.torch import load_file
from tiny_runs import SIZE, Workspace

from train import cdm, distill
from train.recipes.load import dump_recipe, load_recipe
from train.recipes.meanflow import MeanFlowRecipe
from vision import TextToImagePipeline
from vision.transformer import INTERVAL

METHODS = ("ddmd", "dmd", "consistency", "meanflow")
GRID = [1.0, 0.75, 0.5, 0.25]


def student(run: Path) -> TextToImagePipeline:
    pipeline = TextToImagePipeline.from_pretrained(run / "final")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: TextToImagePipeline, seed: int = 7, **options) -> torch.Tensor:
    noise = torch.randn(1, 1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(seed)
    return pipeline("a left half", latents=noise, generator=generator, output_type="pt", **options).images


@pytest.fixture(scope="module", params=METHODS)
def run(request: pytest.FixtureRequest, workspace: Workspace, teacher: Path) -> Path:
    return workspace.run(distill.main, workspace.distill(request.param, f"{request.param}-whole", teacher))


def test_a_run_makes_a_student_on_its_grid(run: Path, teacher: Path):
    pipeline = student(run)
    assert pipeline.config["default_sigmas"] == GRID
    evaluations = []
    pipeline.transformer.register_forward_hook(lambda *_: evaluations.append(1))
    picture = draw(pipeline)
    assert len(evaluations) == 4 and torch.equal(picture, draw(pipeline, sigmas=GRID))
    card = (run / "final" / "README.md").read_text()
    kind = run.name.removesuffix("-whole")
    named = {"ddmd": "2511.22677", "dmd": "2311.18828", "consistency": "2303.01469", "meanflow": "2505.13447"}
    assert named[kind] in card and "TextToImagePipeline" in card
    assert ("training pictures" in card) == (kind in ("consistency", "meanflow"))
    assert (run / "previews" / "step-00000004.png").is_file()
    assert (run / "previews" / "teacher.png").is_file()


def test_a_resumed_run_makes_the_same_student(run: Path, workspace: Workspace, teacher: Path):
    kind = run.name.removesuffix("-whole")
    recipe = workspace.distill(kind, f"{kind}-halves", teacher)
    recipe["train"]["steps"] = 2
    workspace.run(distill.main, recipe)
    recipe["train"]["steps"] = 4
    resumed = workspace.run(distill.main, recipe, "--resume", "latest")
    name = "transformer/diffusion_pytorch_model.safetensors"
    assert (resumed / "final" / name).read_bytes() == (run / "final" / name).read_bytes()
    lines = [(path / "log.jsonl").read_text().splitlines()[-1] for path in (run, resumed)]
    assert json.loads(lines[0]) == json.loads(lines[1])


def test_consistency_is_sampled_with_fresh_noise(workspace: Workspace, teacher: Path):
    made = student(workspace.run(distill.main, workspace.distill("consistency", "noisy", teacher)))
    assert isinstance(made.scheduler, FlowMatchLCMScheduler)
    assert torch.equal(draw(made, 1), draw(made, 1)) and not torch.equal(draw(made, 1), draw(made, 2))
    # The last step adds none: one step depends on the first noise alone.
    assert torch.equal(draw(made, 1, num_inference_steps=1), draw(made, 2, num_inference_steps=1))


def test_meanflow_is_told_its_steps(workspace: Workspace, teacher: Path):
    made = student(workspace.run(distill.main, workspace.distill("meanflow", "told", teacher)))
    assert made.transformer.config["conditioning"] == {INTERVAL: {}}
    seen = []
    made.transformer.register_forward_pre_hook(
        lambda module, arguments, named: seen.append((named["timestep"], named[INTERVAL])), with_kwargs=True
    )
    draw(made, sigmas=[1.0, 0.6, 0.5])
    torch.testing.assert_close(torch.cat([t for t, _ in seen]), torch.tensor([1000.0, 600.0, 500.0]))
    torch.testing.assert_close(torch.cat([interval for _, interval in seen]), torch.tensor([0.4, 0.1, 0.5]))
    before = load_file(teacher / "transformer" / "diffusion_pytorch_model.safetensors")
    added = made.transformer.state_dict().keys() - before.keys()
    assert added and all(key.startswith(f"time_conditioning.{INTERVAL}.") for key in added)


def test_meanflow_has_no_adapter(workspace: Workspace, teacher: Path, capsys: pytest.CaptureFixture[str]):
    recipe = workspace.distill("meanflow", "adapter", teacher)
    recipe |= {"memory": "lora", "lora": {"rank": 2, "alpha": 4.0}}
    with pytest.raises(SystemExit):
        distill.main([str(workspace.write(recipe))])
    assert "a LoRA file has no place" in capsys.readouterr().err


def test_a_plan_for_a_fake_score_wants_one(
    workspace: Workspace, teacher: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = {**workspace.distill("consistency", "no-fake", teacher), "memory": "lora_fake"}
    with pytest.raises(SystemExit):
        distill.main([str(workspace.write(recipe))])
    assert "this method has no fake score" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "plan"), [("ddmd", "lora"), ("dmd", "lora_fake"), ("consistency", "lora")])
def test_memory_plans_of_every_kind_of_method(kind: str, plan: str, workspace: Workspace, teacher: Path):
    recipe = {**workspace.distill(kind, f"{kind}-{plan}", teacher), "memory": plan}
    recipe["lora"] = {"rank": 2, "alpha": 4.0}
    final = workspace.run(distill.main, recipe) / "final"
    assert (final / "pytorch_lora_weights.safetensors").is_file() == (plan == "lora")


def test_a_recipe_of_another_method_names_its_command(
    workspace: Workspace, teacher: Path, capsys: pytest.CaptureFixture[str]
):
    path = workspace.write(workspace.cdm("other", teacher))
    with pytest.raises(SystemExit):
        distill.main([str(path)])
    assert f"run it with: python -m train.cdm {path}" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cdm.main([str(workspace.write(workspace.distill("dmd", "other", teacher)))])
    assert "run it with: python -m train.distill" in capsys.readouterr().err


def test_a_resolved_recipe_is_read_back(workspace: Workspace, teacher: Path):
    path = workspace.write(workspace.distill("meanflow", "resolved", teacher))
    recipe = load_recipe(MeanFlowRecipe, path)
    again = workspace.folder / "resolved.yaml"
    again.write_text(dump_recipe(recipe))
    assert load_recipe(MeanFlowRecipe, again) == recipe


def test_help_tells_the_keys_of_every_method(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        distill.main(["--help"])
    shown = capsys.readouterr().out
    for kind in METHODS:
        assert f"recipe: {kind}" in shown and f"--{kind}.guidance_scale" in shown


@pytest.mark.parametrize("kind", ["dmd", "consistency"])
def test_a_dry_run_counts_the_networks_that_there_are(
    kind: str, workspace: Workspace, teacher: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = workspace.distill(kind, f"dry-{kind}", teacher)
    workspace.run(distill.main, recipe, "--dry-run")
    rows = [
        line.split()[0]
        for line in capsys.readouterr().out.splitlines()
        if line.split()[-1:] == ["B"] or "iB" in line
    ]
    networks = ["student", "fake", "teacher"] if kind == "dmd" else ["student", "teacher"]
    assert [row for row in rows if row in ("student", "fake", "teacher")] == networks

"""train.cdm from a causal world and clips to a world of few steps, with tiny real parts."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_runs import Workspace, assert_same_end  # pyright: ignore[reportMissingImports] - of tests/jobs
from tiny_streams import GRID, causal_pipeline
from tiny_world import picture, pipeline_of, rows, seeded, tiny_world, write_clip  # pyright: ignore[reportMissingImports] - of tests/world

from train import cdm
from vision import WorldPipeline
from vision.transformer.causality import Causality

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A folder with three clips and a teacher."""
    made = Workspace(tmp_path_factory.mktemp("distill-world"))
    for seed in range(3):
        write_clip(made.folder / "clips" / f"clip-{seed}", seed, frames=17)
    causal_pipeline(1, 3, **TEACHER).save_pretrained(made.folder / "teacher" / "final")
    return made


TEACHER: dict[str, Any] = {
    "default_height": 16,
    "default_width": 16,
    "default_num_inference_steps": 3,
    "default_action_guidance_scale": 1.5,
    "frame_rate": 17.5,
}


def recipe_of(workspace: Workspace, output: str) -> dict[str, Any]:
    return {
        "recipe": "world_cdm",
        "train": {**workspace.train(output), "batch_size": 2, "preview_every": 4},
        "teacher": str(workspace.folder / "teacher" / "final"),
        "data": {
            "path": str(workspace.folder / "clips"),
            "height": 16,
            "width": 16,
            "frames": 17,
            "frame_rate": 17.5,
        },
        "recorded_past": 0.25,
        "cdm": {
            "guidance_scale": 1.0,
            "fixed_grid": GRID,
            "anchor_aware": True,
            "fake_on_off_trajectory": 0.5,
        },
        "preview": {"clips": 2, "columns": 3},
        "cache": str(workspace.folder / "cache"),
    }


@pytest.fixture(scope="module")
def run(workspace: Workspace) -> Path:
    """A whole run."""
    return workspace.run(cdm.main, recipe_of(workspace, "student"))


def test_a_run_makes_a_world_of_few_steps(workspace: Workspace, run: Path) -> None:
    pipeline = WorldPipeline.from_pretrained(run / "final")
    teacher = WorldPipeline.from_pretrained(workspace.folder / "teacher" / "final")
    averaged = load_file(run / "checkpoints" / "step-00000004" / "ema" / "student.safetensors")
    found = pipeline.transformer.state_dict()
    assert found.keys() == averaged.keys()
    assert all(torch.equal(found[key], averaged[key]) for key in found)
    assert any(not torch.equal(found[key], value) for key, value in teacher.transformer.state_dict().items())
    assert pipeline.transformer.causality == Causality(1, 3)
    assert pipeline.config["default_sigmas"] == GRID and pipeline.config["frame_rate"] == 17.5
    assert pipeline.scheduler.config.shift == 5.0
    torch.testing.assert_close(pipeline.prompt_embeds, teacher.prompt_embeds)


def test_the_world_is_drawn_on_its_grid_without_guidance(run: Path) -> None:
    pipeline = WorldPipeline.from_pretrained(run / "final")
    calls: list[int] = []
    pipeline.transformer.register_forward_pre_hook(lambda network, arguments: calls.append(1))
    actions = rows(1, 5)
    own = pipeline.clip_latents(picture(), actions, generator=seeded())
    assert len(calls) == 1 + 4 * (len(GRID) + 1)  # a chunk takes its steps, and a pass to be remembered
    told = pipeline.clip_latents(
        picture(), actions, generator=seeded(), sigmas=GRID, action_guidance_scale=1.0
    )
    assert torch.equal(own, told)


def test_previews_log_and_card_of_a_distilled_world(run: Path) -> None:
    scale = 84 // 16
    for name in ("step-00000004", "teacher"):
        # Two clips, a strip above what was recorded each, three frames wide.
        size = Image.open(run / "previews" / f"{name}.png").size
        assert size == (3 * (16 * scale + 2) + 2, 4 * (16 * scale + 2) + 2)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log] == [1, 2, 3, 4]
    assert all("fake/loss_fake" in record for record in log)
    assert "student/loss_guidance" in log[1]
    card = (run / "final" / "README.md").read_text()
    assert "image-to-video" in card and "in 2 network evaluations" in card
    assert "made from teacher by continuous-time distribution matching" in card


def test_a_resumed_distillation_makes_the_same_world(workspace: Workspace, run: Path) -> None:
    halves = workspace.resumed(cdm.main, lambda output: recipe_of(workspace, output))
    assert_same_end(run, halves, WEIGHTS)


def test_a_dry_run_counts_three_networks(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.run(cdm.main, recipe_of(workspace, "dry"), "--dry-run")
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["student"][1] == lines["fake"][1] == lines["teacher"][2] != "0"
    assert not (workspace.folder / "dry").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": "whole"}, "all see each other"),
        ({"teacher": "silent"}, "takes no actions"),
        ({"teacher": "nowhere"}, "nowhere"),
        ({"data.height": 24}, "data.height is 24, but"),
        ({"cdm.fixed_grid": None}, "preview.sigmas has to say"),
        ({"preview.sigmas": [0.5, 1.0]}, "expected noise levels that fall"),
        ({"memory": "lora"}, "memory is not a key of this recipe"),
    ],
)
def test_mistakes_in_a_recipe_of_a_world(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    made = {
        "whole": lambda: pipeline_of(tiny_world(), **TEACHER),
        "silent": lambda: pipeline_of(tiny_world({}, causal={"chunk": 1}), **TEACHER),
    }
    recipe = recipe_of(workspace, "mistake")
    for key, value in changes.items():
        *section, name = key.split(".")
        place = recipe[section[0]] if section else recipe
        place[name] = value
        if name == "teacher" and value in made:
            place[name] = str(workspace.folder / value)
            made[value]().save_pretrained(place[name])
    assert workspace.status(cdm.main, recipe) == 2
    assert message in capsys.readouterr().err

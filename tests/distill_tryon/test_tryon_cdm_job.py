"""train.cdm from a try-on and clips to a try-on of few steps, with tiny real parts."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_runs import assert_same_end  # pyright: ignore[reportMissingImports] - of tests/jobs
from tiny_tryon_model import (  # pyright: ignore[reportMissingImports] - of tests/tryon
    ACTIONS,
    ARCHITECTURE,
    clip_inputs,
    draw,
    pipeline_of,
    seeded,
)
from tiny_tryon_runs import HEIGHT, WIDTH, TryOnWorkspace  # pyright: ignore[reportMissingImports] - of tests/tryon_train

from infer import release, tryon
from train import cdm
from vision import TryOnPipeline
from vision.transformer import VideoTransformer

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
GRID = [1.0, 0.75, 0.5, 0.25]


@pytest.fixture(scope="module")
def teacher(tryon_runs: TryOnWorkspace) -> Path:
    """A guided try-on of three steps."""
    folder = tryon_runs.folder / "teacher" / "final"
    pipeline_of(max_prompt_tokens=16, default_num_inference_steps=3).save_pretrained(folder)
    return folder


def recipe_of(tryon_runs: TryOnWorkspace, teacher: Path, output: str) -> dict[str, Any]:
    whole = tryon_runs.recipe(output)
    return {
        "recipe": "tryon_cdm",
        **{name: whole[name] for name in ("train", "data", "cache")},
        "teacher": str(teacher),
        "cdm": {
            "guidance_scale": 1.0,
            "fixed_grid": GRID,
            "anchor_aware": True,
            "fake_on_off_trajectory": 0.5,
        },
        "preview": {"clips": 1, "columns": 3},
    }


@pytest.fixture(scope="module")
def run(tryon_runs: TryOnWorkspace, teacher: Path) -> Path:
    """A whole run."""
    return tryon_runs.run(cdm.main, recipe_of(tryon_runs, teacher, "student"))


def loaded(folder: Path) -> TryOnPipeline:
    pipeline = TryOnPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_a_run_makes_a_tryon_of_four_steps(teacher: Path, run: Path) -> None:
    pipeline, before = loaded(run / "final"), loaded(teacher)
    averaged = load_file(run / "checkpoints" / "step-00000004" / "ema" / "student.safetensors")
    found = pipeline.transformer.state_dict()
    assert found.keys() == averaged.keys()
    assert all(torch.equal(found[key], averaged[key]) for key in found)
    changed = {
        key for key, value in before.transformer.state_dict().items() if not torch.equal(found[key], value)
    }
    # What hands, captions, garment and pose come in through has learned as well.
    assert {key.split(".")[0] for key in changed} >= {
        "blocks",
        "guides",
        "vace_blocks",
        "vace_patch_embedding",
    }
    assert pipeline.config["default_sigmas"] == GRID and pipeline.config["default_guidance_scale"] == 1.0
    kept = ("timing", "reference_padding", "window_frames", "max_prompt_tokens", "trained_with_actions")
    assert all(pipeline.config[name] == before.config[name] for name in kept)
    assert pipeline.scheduler.config.shift == 5.0


def test_the_student_asks_once_a_step_and_its_guider_once_a_clip(run: Path) -> None:
    pipeline = loaded(run / "final")
    calls = {"whole": 0, "guider": 0}

    def counted(name: str) -> Any:
        return lambda *_: calls.update({name: calls[name] + 1})

    pipeline.transformer.register_forward_pre_hook(counted("whole"))
    pipeline.transformer.guides.guider.blocks[0].register_forward_pre_hook(counted("guider"))
    asked: dict[str, Any] = {**clip_inputs(17), "actions": ACTIONS, "output_type": "latent"}
    own = pipeline(**asked, generator=seeded()).frames
    assert calls == {"whole": len(GRID), "guider": 1}
    told = pipeline(**asked, generator=seeded(), sigmas=GRID, guidance_scale=1.0).frames
    assert torch.equal(own, told)


def test_infer_tryon_draws_the_student_on_its_grid(
    tryon_runs: TryOnWorkspace, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "--model",
        str(run / "final"),
        "--index",
        str(tryon_runs.clips),
        "--out",
        str(tmp_path / "dressed"),
    ]
    assert tryon.main([*command, "--limit", "1", "--size", "16x24"]) == 0
    (record,) = (tmp_path / "dressed").glob("*.json")
    facts = json.loads(record.read_text())
    assert facts["steps"] == GRID and facts["guidance_scale"] == 1.0 and facts["actions"]


def test_a_student_is_released_with_its_card(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"label": "student", "model": str(run / "final"), "ssim": 0.625}]
    Path("results.json").write_text(json.dumps({"rows": rows}))
    words = ["--run", str(run), "--out", "dressed", "--results", "results.json", "--label", "student"]
    assert release.main(words) == 0
    pipeline = loaded(Path("dressed"))
    assert pipeline.config["default_sigmas"] == GRID
    stored = load_file(Path("dressed") / WEIGHTS)
    assert stored["blocks.0.attn1.to_q.weight"].dtype == torch.bfloat16
    original = load_file(run / "final" / WEIGHTS)
    assert all(torch.equal(value, original[key].to(value.dtype)) for key, value in stored.items())
    card = Path("dressed/README.md").read_text()
    assert "video-to-video" in card and "in 4 network evaluations" in card and "0.625" in card
    assert "made from teacher by continuous-time distribution matching" in card
    assert 'TryOnPipeline.from_pretrained("dressed")' in card


def test_previews_and_log_of_a_distilled_tryon(run: Path) -> None:
    for name in ("step-00000004", "teacher"):
        preview = Image.open(run / "previews" / f"{name}.png")
        scale = (preview.width - 2 - 2 * 3) // (3 * WIDTH)
        assert preview.size == (3 * (WIDTH * scale + 2) + 2, 2 * (HEIGHT * scale + 2) + 2)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log] == [1, 2, 3, 4]
    assert all("fake/loss_fake" in record for record in log)
    assert "student/loss_guidance" in log[1]


def test_a_resumed_distillation_makes_the_same_tryon(
    tryon_runs: TryOnWorkspace, teacher: Path, run: Path
) -> None:
    halves = tryon_runs.resumed(cdm.main, lambda output: recipe_of(tryon_runs, teacher, output))
    assert_same_end(run, halves, WEIGHTS)


def test_a_dry_run_counts_three_networks(
    tryon_runs: TryOnWorkspace, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tryon_runs.run(cdm.main, recipe_of(tryon_runs, teacher, "dry"), "--dry-run")
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["student"][1] == lines["fake"][1] == lines["teacher"][2] != "0"
    assert not (tryon_runs.folder / "dry").exists()


def test_a_teacher_without_a_guider_is_distilled_too(tryon_runs: TryOnWorkspace) -> None:
    network = VideoTransformer(**ARCHITECTURE).eval()
    draw(network)
    folder = tryon_runs.folder / "plain"
    pipeline_of(network, max_prompt_tokens=16, trained_with_actions=False).save_pretrained(folder)
    recipe = recipe_of(tryon_runs, folder, "plain-student")
    recipe["data"] |= {"actions": False}
    recipe["train"] |= {"steps": 2, "preview_every": 0}
    made = loaded(tryon_runs.run(cdm.main, recipe) / "final")
    assert (
        made(**{**clip_inputs(9), "hands": None}, generator=seeded(), output_type="pt").frames.shape[1] == 9
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": "nowhere"}, "nowhere"),
        ({"teacher": "silent"}, "has no text encoder"),
        ({"teacher": "first stage"}, "trained without captions of actions"),
        ({"data.height": 44}, "data.height is 44, expected a multiple of 8"),
        ({"cdm.fixed_grid": None}, "preview.sigmas has to say"),
        ({"preview.sigmas": [0.5, 1.0]}, "expected noise levels that fall"),
        ({"memory": "lora"}, "memory is not a key of this recipe"),
    ],
)
def test_mistakes_in_a_recipe_of_a_few_step_tryon(
    tryon_runs: TryOnWorkspace,
    teacher: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    message: str,
) -> None:
    made: dict[str, dict[str, Any]] = {
        "silent": {"text_encoder": None, "tokenizer": None},
        "first stage": {"trained_with_actions": False},
    }
    recipe = recipe_of(tryon_runs, teacher, "mistake")
    for key, value in changes.items():
        *section, name = key.split(".")
        place = recipe[section[0]] if section else recipe
        place[name] = value
        if isinstance(value, str) and value in made:
            place[name] = str(tryon_runs.folder / value)
            pipeline_of(**made[value]).save_pretrained(place[name])
    assert tryon_runs.status(cdm.main, recipe) == 2
    assert message in capsys.readouterr().err

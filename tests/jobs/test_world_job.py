"""train.world from clips to a pipeline, with tiny real parts."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_pipeline import (  # pyright: ignore[reportMissingImports] - of tests/pipeline
    TEXT_WIDTH,
    tiny_text_encoder,
    tiny_tokenizer,
)
from tiny_runs import Workspace, assert_same_end
from tiny_world import (  # pyright: ignore[reportMissingImports] - of tests/world
    ARCHITECTURE,
    picture,
    rows,
    seeded,
    tiny_autoencoder,
    write_clip,
)

from train import world
from vision import WorldPipeline
from vision.text import TokenEncoder, encode_prompts
from vision.text.embeddings_file import write_embeddings
from vision.transformer.causality import Causality

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def parts(workspace: Workspace) -> Path:
    """A folder with an autoencoder and three clips."""
    folder = workspace.folder / "world"
    tiny_autoencoder().save_pretrained(folder / "vae")
    for seed in range(3):
        write_clip(folder / "clips" / f"clip-{seed}", seed)
    return folder


def recipe_of(workspace: Workspace, parts: Path, output: str) -> dict[str, Any]:
    return {
        "recipe": "world",
        "train": {**workspace.train(output), "batch_size": 4, "preview_every": 4},
        "model": {"architecture": ARCHITECTURE, "vae": str(parts / "vae")},
        "data": {
            "path": str(parts / "clips"),
            "height": 16,
            "width": 16,
            "frames": 9,
            "stride": 4,
            "clip_frames": 13,
            "frame_rate": 17.5,
        },
        "flow": {"action_dropout": 0.5},
        "preview": {"clips": 2, "steps": 2, "columns": 3, "action_guidance_scale": 1.5},
        "cache": str(workspace.folder / "cache"),
    }


@pytest.fixture(scope="module")
def run(workspace: Workspace, parts: Path) -> Path:
    """A run from scratch."""
    return workspace.run(world.main, recipe_of(workspace, parts, "world-run"))


def load(run: Path) -> WorldPipeline:
    pipeline = WorldPipeline.from_pretrained(run / "final")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_a_run_makes_a_pipeline_of_averaged_weights(run: Path) -> None:
    pipeline = load(run)
    averaged = load_file(run / "checkpoints" / "step-00000004" / "ema" / "model.safetensors")
    found = pipeline.transformer.state_dict()
    assert found.keys() == averaged.keys()
    assert all(torch.equal(found[key], averaged[key]) for key in found)
    assert found["condition_inputs.actions.null"].abs().max() > 0  # half of the samples taught it
    assert pipeline.config["frame_rate"] == 17.5 and pipeline.scheduler.config.shift == 5.0
    assert pipeline.config["default_num_inference_steps"] == 2
    assert pipeline.config["default_action_guidance_scale"] == 1.5
    frames = pipeline(picture(), rows(), generator=seeded(), output_type="pt").frames
    assert frames.shape == (1, 9, 3, 16, 16)


def test_previews_log_and_card(run: Path) -> None:
    preview = Image.open(run / "previews" / "step-00000004.png")
    scale = 84 // 16
    # Two clips, a strip above what was recorded each, three frames wide.
    assert preview.size == (3 * (16 * scale + 2) + 2, 4 * (16 * scale + 2) + 2)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log] == [1, 2, 3, 4]
    assert all(0 <= record["model/action_dropped"] <= 1 for record in log)
    card = (run / "final" / "README.md").read_text()
    assert "image-to-video" in card and "16 x 16 pixels and 9 frames" in card
    assert "WorldPipeline.from_pretrained" in card


def test_a_resumed_run_makes_the_same_model(workspace: Workspace, parts: Path, run: Path) -> None:
    halves = workspace.resumed(world.main, lambda output: recipe_of(workspace, parts, f"world-{output}"))
    assert_same_end(run, halves, WEIGHTS)


def test_a_causal_world_goes_on_from_weights(workspace: Workspace, parts: Path, run: Path) -> None:
    recipe = recipe_of(workspace, parts, "world-causal")
    recipe["model"] = {"weights": str(run / "final" / "transformer"), "vae": str(parts / "vae")}
    recipe["causal"] = {"chunk": 1, "window": 2}
    recipe["train"] |= {"lr": 1e-9, "ema_decay": None, "weight_decay": 0, "mixed_precision": "no"}
    pipeline = load(workspace.run(world.main, recipe))
    assert pipeline.transformer.causality == Causality(1, 2)
    before = load_file(run / "final" / WEIGHTS)
    after = pipeline.transformer.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.allclose(after[key], before[key], atol=1e-6) for key in before)
    chunks = list(pipeline.stream(picture(), rows(), generator=seeded()))
    assert [chunk.shape[2] for chunk in chunks] == [1, 1, 1]


def test_weights_are_told_more_of_the_actions_and_of_the_past(
    workspace: Workspace, parts: Path, run: Path
) -> None:
    recipe = recipe_of(workspace, parts, "world-told")
    weights = str(run / "final" / "transformer")
    recipe["model"] = {"weights": weights, "vae": str(parts / "vae"), "previous_frame": True}
    recipe["actions"] = {"module": "both"}
    recipe["causal"] = {"chunk": 1, "window": 2}
    recipe["train"] |= {"optimizer": "muon"}
    network = load(workspace.run(world.main, recipe)).transformer
    assert list(network.config["conditioning"]) == ["action", "action_adaln"]
    assert network.time_conditioning["action_adaln"].linear_2.weight.any()
    assert network.previous_patch_embedding is not None
    assert network.previous_patch_embedding.weight.any()


def test_weights_keep_their_module(
    workspace: Workspace, parts: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of(workspace, parts, "world-other-module")
    recipe["model"] = {"weights": str(run / "final" / "transformer"), "vae": str(parts / "vae")}
    recipe["actions"] = {"null_key": True}
    assert world.main([str(workspace.write(recipe))]) == 2
    assert "with the options {}, the recipe asks for {'null_key': True}" in capsys.readouterr().err


def test_every_clip_may_have_one_prompt(
    workspace: Workspace, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer, text_encoder = tiny_tokenizer(), tiny_text_encoder()
    encoder = TokenEncoder(tokenizer, text_encoder, 5)
    file = workspace.folder / "prompt.safetensors"
    write_embeddings(file, "WanPipeline", encoder, {"a red coat": encoder.encode("a red coat")[0]})
    recipe = recipe_of(workspace, parts, "world-prompt")
    recipe["train"] |= {"steps": 1, "save_every": 1}
    recipe["model"] |= {"prompt": str(file)}
    assert world.main([str(workspace.write(recipe))]) == 2
    assert "has width 16, the network takes prompt embeddings of width 8" in capsys.readouterr().err
    recipe["model"] |= {"architecture": {**ARCHITECTURE, "text_dim": TEXT_WIDTH}}
    pipeline = load(workspace.run(world.main, recipe))
    expected = encode_prompts(tokenizer, text_encoder, ["a red coat"], 5)
    torch.testing.assert_close(pipeline.prompt_embeds, expected)


def test_a_dry_run_counts_what_is_trained(
    workspace: Workspace, parts: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.run(world.main, recipe_of(workspace, parts, "world-dry"), "--dry-run")
    count = sum(value.numel() for value in load_file(run / "final" / WEIGHTS).values())
    row = next(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("model "))
    assert row[1] == f"{count / 1e3:.2f}k"
    assert not (workspace.folder / "world-dry").exists()


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("data", {"height": 20}, "data.height is 20, expected a multiple of 8"),
        ("data", {"path": "nowhere"}, "nowhere holds no clips"),
        ("data", {"frames": 17, "clip_frames": 17}, "3 of 3 clips cannot be used"),
        ("model", {"vae": None}, "vae is missing"),
        ("model", {"architecture": {**ARCHITECTURE, "in_channels": 6, "out_channels": 6}}, "have 4 channels"),
        ("actions", {"module": "action_adaln", "null_key": True}, "null_key fits module action alone"),
        ("causal", {"chunk": 3, "window": 2}, "window is 2, shorter than a chunk of 3"),
    ],
)
def test_mistakes(
    workspace: Workspace,
    parts: Path,
    capsys: pytest.CaptureFixture[str],
    section: str,
    changes: dict[str, Any],
    message: str,
) -> None:
    recipe = recipe_of(workspace, parts, "world-mistake")
    recipe[section] = {**recipe.get(section, {}), **changes}
    assert workspace.status(world.main, recipe) == 2
    assert message in capsys.readouterr().err

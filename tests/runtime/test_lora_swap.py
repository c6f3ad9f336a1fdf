"""Several LoRAs on one pipeline: switched, mixed, disabled, fused and deleted."""

from pathlib import Path

import pytest
import torch
from tiny_pipeline import generators, tiny_pipeline, tiny_transformer  # pyright: ignore[reportMissingImports]
from torch import Tensor

from vision import TextToImagePipeline
from vision.distill.few_step import FewStep
from vision.lora.adapters import add_lora, lora_state_dict, save_lora


def draw(pipeline: TextToImagePipeline) -> Tensor:
    options = {"generator": generators(1, 2), "guidance_scale": 2.0, "output_type": "latent"}
    return pipeline(["a red bag", "a boot"], num_inference_steps=3, **options).images


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two LoRAs; the second one is of another rank and brings a grid."""
    folders = {}
    for seed, name in enumerate("ab"):
        network = tiny_transformer()
        add_lora(network, rank=2 + seed, alpha=4.0)
        draws = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter.normal_(std=0.2, generator=draws)
        folders[name] = tmp_path_factory.mktemp(name)
        save_lora(folders[name], network)
    FewStep([1.0, 0.5], guidance_scale=1.0).save(folders["b"])
    return folders


@pytest.fixture
def both(loras: dict[str, Path]) -> TextToImagePipeline:
    pipeline = tiny_pipeline()
    for name, folder in loras.items():
        pipeline.load_lora_weights(str(folder), adapter_name=name)
    return pipeline


def alone(loras: dict[str, Path], name: str) -> Tensor:
    pipeline = tiny_pipeline()
    pipeline.load_lora_weights(str(loras[name]), adapter_name=name)
    return draw(pipeline)


def merged_by_hand(loras: dict[str, Path], scales: dict[str, float]) -> Tensor:
    """W + sum of scale (alpha / rank) B A, layer by layer."""
    pipeline = tiny_pipeline()
    weights = dict(pipeline.transformer.named_parameters())
    for name, scale in scales.items():
        other = tiny_pipeline()
        other.load_lora_weights(str(loras[name]), adapter_name=name)
        state = lora_state_dict(other.transformer, name)
        for key in state:
            if key.endswith("lora_A.weight"):
                layer = key.removesuffix(".lora_A.weight")
                a, b = state[key], state[f"{layer}.lora_B.weight"]
                with torch.no_grad():
                    weights[f"{layer}.weight"] += scale * 4.0 / len(a) * b @ a
    return draw(pipeline)


def test_adapters_are_switched_and_mixed(both: TextToImagePipeline, loras: dict[str, Path]):
    drawn = {}
    for name in ("a", "b", "a"):
        both.set_adapters(name)
        drawn[name] = draw(both)
        assert torch.equal(drawn[name], alone(loras, name))
    assert not torch.allclose(drawn["a"], drawn["b"], atol=1e-2)
    both.set_adapters(["a", "b"], [0.5, 0.25])
    expected = merged_by_hand(loras, {"a": 0.5, "b": 0.25})
    torch.testing.assert_close(draw(both), expected, rtol=0, atol=1e-5)
    both.set_adapters("a", 0.5)
    torch.testing.assert_close(draw(both), merged_by_hand(loras, {"a": 0.5}), rtol=0, atol=1e-5)
    both.set_adapters("a")
    assert torch.equal(draw(both), drawn["a"]), "a scale does not stay"


def test_disabled_and_enabled_again(both: TextToImagePipeline):
    both.set_adapters(["a", "b"], [0.5, 0.5])
    mixed = draw(both)
    both.disable_lora()
    assert torch.equal(draw(both), draw(tiny_pipeline()))
    both.enable_lora()
    assert torch.equal(draw(both), mixed)


def test_fused_and_taken_out_again(both: TextToImagePipeline):
    both.set_adapters(["a", "b"], [0.5, 0.25])
    mixed = draw(both)
    weights = {key: value.clone() for key, value in both.transformer.state_dict().items()}
    both.fuse_lora(adapter_names=["a", "b"])
    assert both.num_fused_loras == 2
    torch.testing.assert_close(draw(both), mixed, rtol=0, atol=1e-5)
    both.unfuse_lora()
    assert both.num_fused_loras == 0
    for key, value in both.transformer.state_dict().items():
        torch.testing.assert_close(value, weights[key], rtol=0, atol=1e-6)
    torch.testing.assert_close(draw(both), mixed, rtol=0, atol=1e-5)


def test_deleted_adapters_are_gone(both: TextToImagePipeline, loras: dict[str, Path]):
    both.delete_adapters("b")
    assert both.get_list_adapters() == {"transformer": ["a"]}
    both.set_adapters("a")
    assert torch.equal(draw(both), alone(loras, "a"))
    with pytest.raises(ValueError, match="not in the list of present adapters"):
        both.set_adapters("b")
    both.delete_adapters(["a"])
    assert torch.equal(draw(both), draw(tiny_pipeline()))


def test_the_grid_is_that_of_the_adapter_at_work(both: TextToImagePipeline, tmp_path: Path):
    fast = FewStep([1.0, 0.5], guidance_scale=1.0)
    assert both.few_step == fast, "the one loaded last is active"
    both.set_adapters("a")
    assert both.few_step is None and both.default_guidance_scale == 1.0
    both.set_adapters(["a", "b"])
    assert both.few_step == fast and both.sampling_grid(None, None) == [1.0, 0.5]
    both.disable_lora()
    assert both.few_step is None
    both.enable_lora()
    both.fuse_lora(adapter_names=["b"])
    both.unload_lora_weights()
    assert both.few_step == fast, "what was fused stays, and so does its grid"
    both.save_pretrained(tmp_path)
    loaded = TextToImagePipeline.from_pretrained(tmp_path)
    assert loaded.few_step == fast
    assert torch.equal(draw(loaded), draw(both))


def test_taken_off_the_old_defaults_return(loras: dict[str, Path]):
    own = {"default_sigmas": [1.0, 0.8, 0.4], "default_guidance_scale": 3.0}
    pipeline = tiny_pipeline(**own)
    pipeline.load_lora_weights(str(loras["b"] / "pytorch_lora_weights.safetensors"))
    assert (pipeline.few_step, pipeline.default_guidance_scale) == (FewStep([1.0, 0.5]), 1.0)
    pipeline.unload_lora_weights()
    assert pipeline.few_step == FewStep([1.0, 0.8, 0.4], 3.0)
    pipeline.load_lora_weights(str(loras["b"]), adapter_name="b")
    pipeline.delete_adapters("b")
    assert pipeline.sampling_grid(None, None) == [1.0, 0.8, 0.4]

"""The dehazing pipeline: files, sizes, adapters, a user's own network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_dehazers import AirlightNetwork, picture, tiny_dea, tiny_transformer, write_adapter

from vision import DehazePipeline
from vision.dehaze.own_network import OwnNetwork

HAZY = torch.rand(2, 3, 30, 41, generator=torch.Generator().manual_seed(5))


def clear(pipeline: DehazePipeline, **options) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return pipeline(HAZY, generator=generator, output_type="pt", **options).images


@pytest.mark.parametrize("make", [tiny_dea, tiny_transformer])
def test_a_saved_pipeline_clears_alike(tmp_path: Path, make):
    pipeline = DehazePipeline(make(), tile=24, overlap=8, default_sigmas=[1.0, 0.7])
    pipeline.save_pretrained(tmp_path)
    loaded = DehazePipeline.from_pretrained(tmp_path)
    torch.testing.assert_close(clear(loaded), clear(pipeline))
    assert loaded.config["tile"] == 24 and loaded.config["default_sigmas"] == [1.0, 0.7]
    (tmp_path / "network" / "diffusion_pytorch_model.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        DehazePipeline.from_pretrained(tmp_path)


def test_a_folder_may_not_name_another_class(tmp_path: Path):
    DehazePipeline(tiny_dea()).save_pretrained(tmp_path)
    index = tmp_path / "model_index.json"
    text = index.read_text().replace("vision.dehaze.dea_net", "torch.nn").replace("DEANet", "Linear")
    index.write_text(text)
    with pytest.raises(ValueError, match=r"network is a Linear of torch\.nn, expected"):
        DehazePipeline.from_pretrained(tmp_path)


def test_pictures_go_in_and_come_out_in_each_form():
    pipeline, shown = DehazePipeline(tiny_dea()), [picture(1), picture(2)]
    pixels = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 for image in shown])
    tensor = pipeline(pixels, output_type="pt").images
    assert tensor.min() >= 0 and tensor.max() <= 1
    array = pipeline(
        np.stack([np.array(image) / 255 for image in shown]).astype(np.float32), output_type="np"
    )
    np.testing.assert_allclose(array.images, tensor.permute(0, 2, 3, 1).numpy(), atol=1e-6)
    images = pipeline(shown, return_dict=False)[0]
    assert images[0].size == shown[0].size
    np.testing.assert_array_equal(np.array(images[1]), np.rint(255 * tensor[1].permute(1, 2, 0).numpy()))


def test_bands_are_the_call_and_are_no_taller_than_a_tile():
    pipeline = DehazePipeline(tiny_dea(), tile=24, overlap=8)
    bands = list(pipeline.bands(lambda top, bottom: HAZY[..., top:bottom, :], 30, 41))
    assert len(bands) == 2 and max(band.shape[2] for band in bands) <= 24
    torch.testing.assert_close(torch.cat(bands, 2), clear(pipeline))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_inference_steps": 2}, "has no steps"),
        ({"airlight": torch.ones(2, 3)}, "takes no airlight"),
        ({"tile": 20, "overlap": 16}, "tiles of 20"),
        ({"output_type": "latent"}, "output_type is 'latent'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options, message: str):
    with pytest.raises(ValueError, match=message):
        DehazePipeline(tiny_dea())(HAZY, **options)


def test_a_result_that_is_not_finite_is_an_error():
    network = tiny_dea()
    torch.nn.init.constant_(dict(network.named_parameters())["up3.0.bias"], float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        DehazePipeline(network)(HAZY)


@torch.no_grad()
@pytest.mark.parametrize("name", ["day.safetensors", "day"])
def test_adapters_load_switch_and_merge(tmp_path: Path, name: str):
    network = tiny_dea()
    day, night = write_adapter(network, tmp_path / name), write_adapter(network, tmp_path / "n.safetensors")
    pipeline = DehazePipeline(network)
    base = clear(pipeline)
    pipeline.load_lora_weights(day, adapter_name="day")
    by_day = clear(pipeline)
    assert not torch.allclose(by_day, base, atol=1e-3)
    pipeline.load_lora_weights(night, adapter_name="night")
    assert pipeline.get_list_adapters() == ["day", "night"] and pipeline.get_active_adapters() == ["night"]
    by_night = clear(pipeline)
    assert not torch.allclose(by_night, by_day, atol=1e-3)
    pipeline.set_adapters("day")
    torch.testing.assert_close(clear(pipeline), by_day)
    pipeline.set_adapters([])
    torch.testing.assert_close(clear(pipeline), base)
    pipeline.set_adapters(["day", "night"], [0.0, 1.0])
    torch.testing.assert_close(clear(pipeline), by_night)
    with pytest.raises(ValueError, match="carries the adapters day, night"):
        pipeline.save_pretrained(tmp_path / "out")
    pipeline.set_adapters("day")
    pipeline.fuse_lora()
    assert pipeline.get_list_adapters() == []
    torch.testing.assert_close(clear(pipeline), by_day, rtol=0, atol=1e-5)
    # Nothing is left of peft: the merged network costs what the base costs.
    assert set(network.state_dict()) == set(tiny_dea().state_dict())
    pipeline.save_pretrained(tmp_path / "out")
    torch.testing.assert_close(clear(DehazePipeline.from_pretrained(tmp_path / "out")), clear(pipeline))


def test_an_adapter_can_be_taken_off(tmp_path: Path):
    pipeline = DehazePipeline(tiny_dea())
    base = clear(pipeline)
    pipeline.load_lora_weights(write_adapter(pipeline.network, tmp_path / "a.safetensors"))
    pipeline.unload_lora_weights()
    torch.testing.assert_close(clear(pipeline), base)
    with pytest.raises(ValueError, match="load it first"):
        pipeline.fuse_lora()


def test_an_adapter_of_another_base_is_refused(tmp_path: Path):
    other = tiny_dea()
    torch.nn.init.ones_(dict(other.named_parameters())["up3.0.bias"])
    for name in ("native.safetensors", "diffusers"):
        with pytest.raises(ValueError, match="made for a network with other weights"):
            DehazePipeline(tiny_dea()).load_lora_weights(write_adapter(other, tmp_path / name))


def test_a_users_own_network(tmp_path: Path):
    save_file(AirlightNetwork().state_dict(), tmp_path / "own.safetensors")
    network = OwnNetwork.from_factory("tiny_dehazers:airlight_network", tmp_path / "own.safetensors")
    pipeline = DehazePipeline(network, tile=16, overlap=8)
    # One colour of haze for all tiles: the result is the untiled one.
    whole = DehazePipeline(network)
    torch.testing.assert_close(clear(pipeline), clear(whole), rtol=0, atol=1e-5)
    told = clear(whole, airlight=torch.zeros(2, 3))
    torch.testing.assert_close(told, (2 * HAZY).clamp(0, 1))
    with pytest.raises(ValueError, match="is your own AirlightNetwork, whose code"):
        pipeline.save_pretrained(tmp_path / "out")


@pytest.mark.parametrize(
    "factory, message",
    [
        ("tiny_dehazers", "expected package.module:function"),
        ("tiny_dehazers:absent", "cannot be imported"),
        ("no_such_package:absent", "cannot be imported"),
        ("tiny_dehazers:no_network", "gave a str, expected a torch.nn.Module"),
        ("tiny_dehazers:halving_network", r"1 missing: gain; 1 unexpected: t"),
    ],
)
def test_what_is_no_network_is_refused(tmp_path: Path, factory: str, message: str):
    save_file({"t": torch.ones(())}, tmp_path / "own.safetensors")
    with pytest.raises(ValueError, match=message):
        OwnNetwork.from_factory(factory, tmp_path / "own.safetensors")


def test_a_network_that_changes_the_size_is_refused(tmp_path: Path):
    save_file({"gain": torch.ones(())}, tmp_path / "own.safetensors")
    network = OwnNetwork.from_factory("tiny_dehazers:halving_network", tmp_path / "own.safetensors")
    with pytest.raises(ValueError, match="size_multiple"):
        DehazePipeline(network)(HAZY)


def test_another_network_is_refused():
    with pytest.raises(ValueError, match="a Linear cannot dehaze"):
        DehazePipeline(torch.nn.Linear(3, 3))  # pyright: ignore

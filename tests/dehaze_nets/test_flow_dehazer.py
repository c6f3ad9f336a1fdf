"""The flow from hazy to clear: its path, its steps, its noise and its autoencoder."""

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from tiny_dehazers import tiny_transformer

from vision import DehazePipeline
from vision.dehaze.flow_dehazer import FlowDehazer


def draw(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def test_the_path_goes_from_the_noisy_hazy_picture_to_the_clear_one():
    flow = FlowDehazer(tiny_transformer(), noise_std=0.5)
    clear, hazy, noise = (flow.encode(draw(2, 3, 8, 8) * scale) for scale in (1, 0.5, 0.2))
    at_end, _ = flow.path(clear, hazy, noise, torch.zeros(2))
    at_start, velocity = flow.path(clear, hazy, noise, torch.ones(2))
    assert torch.equal(at_end, clear)
    torch.testing.assert_close(at_start, hazy + 0.5 * noise)
    # Exactly known velocities lead to the clear picture from any time.
    t = torch.tensor([0.3, 0.9])
    x_t, velocity = flow.path(clear, hazy, noise, t)
    torch.testing.assert_close(x_t - t.view(2, 1, 1, 1, 1) * velocity, clear)


@torch.no_grad()
def test_one_step_is_one_prediction_and_more_steps_are_eulers():
    flow = FlowDehazer(tiny_transformer(), noise_std=0.3)
    hazy, noise = flow.encode(draw(1, 3, 8, 12)), torch.randn(1, 3, 1, 8, 12)
    start, one = flow.start(hazy, noise), torch.ones(1)
    torch.testing.assert_close(flow.solve(hazy, noise, [1.0]), flow.predict_clear(start, one, hazy))
    half = start - 0.5 * flow.velocity(start, one, hazy)
    two = half - 0.5 * flow.velocity(half, 0.5 * one, hazy)
    torch.testing.assert_close(flow.solve(hazy, noise, [1.0, 0.5]), two)


def test_a_loss_on_the_prediction_reaches_the_network():
    flow = FlowDehazer(tiny_transformer())
    hazy = flow.encode(draw(1, 3, 8, 8))
    clear = flow.decode(flow.predict_clear(flow.start(hazy, torch.randn_like(hazy)), torch.ones(1), hazy))
    clear.mean().backward()
    assert flow.transformer.proj_out.weight.grad.abs().sum() > 0


@torch.no_grad()
def test_a_generator_decides_the_noise_and_tiles_see_one_plane_of_it():
    pipeline = DehazePipeline(tiny_transformer(), tile=16, overlap=8)
    hazy = draw(1, 3, 30, 37)

    def clear(seed: int, **options) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return pipeline(hazy, generator=generator, output_type="pt", **options).images

    assert clear(0).shape == hazy.shape
    assert torch.equal(clear(0), clear(0)) and not torch.equal(clear(0), clear(1))
    assert torch.equal(clear(0, num_inference_steps=2), clear(0, sigmas=[1.0, 0.5]))
    assert not torch.equal(clear(0), clear(0, num_inference_steps=2))
    without = DehazePipeline(tiny_transformer(), noise_std=0.0)
    assert torch.equal(without(hazy, output_type="pt").images, without(hazy, output_type="pt").images)


@torch.no_grad()
def test_it_works_on_latents():
    options: dict = {
        "block_out_channels": (4, 4),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
    }
    vae = AutoencoderKL(**options, norm_num_groups=2, latent_channels=4).eval()
    pipeline = DehazePipeline(tiny_transformer(in_channels=8, out_channels=4), vae, tile=32, overlap=16)
    assert pipeline.tiles().multiple == 8  # two pixels to a latent, four latents to a token
    assert pipeline(draw(1, 3, 33, 50), output_type="pt").images.shape == (1, 3, 33, 50)


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"it needs \(6, 3\)"):
        FlowDehazer(tiny_transformer(in_channels=3))
    with pytest.raises(ValueError, match="patches of one frame"):
        FlowDehazer(tiny_transformer(patch_size=(2, 4, 4)))
    with pytest.raises(ValueError, match="noise_std is -1"):
        FlowDehazer(tiny_transformer(), noise_std=-1)

"""What a call of TextToImagePipeline computes, gives back and refuses."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_flow_match_heun_discrete import FlowMatchHeunDiscreteScheduler
from tiny_pipeline import generators, tiny_pipeline, tiny_transformer
from torch import Tensor

from vision import TextToImagePipeline
from vision.flow.schedules import linear_schedule, shifted_schedule
from vision.flow.shift import shift_of_scheduler
from vision.flow.solver import euler_solve
from vision.text import encode_prompts
from vision.transformer import VideoTransformerDenoiser

PROMPTS = ["a photo of a red bag", "a boot"]


@pytest.fixture(scope="module")
def pipeline() -> TextToImagePipeline:
    return tiny_pipeline()


def latents_of(pipeline: TextToImagePipeline, prompt: Any = PROMPTS, **options: Any) -> Tensor:
    return pipeline(prompt, output_type="latent", **options).images


def embeddings(pipeline: TextToImagePipeline, prompts: list[str]) -> Tensor:
    return encode_prompts(pipeline.tokenizer, pipeline.text_encoder, prompts, 8)


def noise(*seeds: int) -> Tensor:
    return torch.cat([torch.randn(1, 1, 1, 8, 12, generator=draw) for draw in generators(*seeds)])


@pytest.mark.parametrize("scale", [1.0, 3.5])
def test_sampling_is_the_solver_that_training_rolls_out(pipeline: TextToImagePipeline, scale: float):
    denoiser = VideoTransformerDenoiser(pipeline.transformer)
    conditions = [{"encoder_hidden_states": embeddings(pipeline, prompts)} for prompts in (PROMPTS, ["", ""])]

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        conditional, unconditional = (denoiser.velocity(x, t, condition) for condition in conditions)
        return unconditional + scale * (conditional - unconditional)

    with torch.no_grad():
        expected = euler_solve(velocity, noise(1, 2), linear_schedule(5, 3.0))
    found = latents_of(pipeline, num_inference_steps=5, guidance_scale=scale, generator=generators(1, 2))
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_without_guidance_the_unconditional_network_is_not_called(pipeline: TextToImagePipeline):
    batches = []
    hook = pipeline.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: batches.append(kwargs["hidden_states"].shape[0]), with_kwargs=True
    )
    latents_of(pipeline, guidance_scale=1.0)
    latents_of(pipeline, guidance_scale=0.5)
    hook.remove()
    assert batches == [2] * 3 + [4] * 3


def test_sigmas_are_those_before_the_shift(pipeline: TextToImagePipeline):
    latents_of(pipeline, sigmas=[1, 0.75, 0.5, 0.25])
    expected = torch.tensor([1.0, 0.9, 0.75, 0.5, 0.0])
    torch.testing.assert_close(pipeline.scheduler.sigmas, expected)
    torch.testing.assert_close(pipeline.scheduler.timesteps, 1000 * expected[:-1])


def test_the_models_own_grid_is_used_unless_the_call_asks_for_other_steps():
    grid = [1.0, 0.8, 0.3]
    pipeline = tiny_pipeline(default_sigmas=grid)
    for options, expected in (
        ({}, shifted_schedule(grid, 3.0)),
        ({"num_inference_steps": 3}, shifted_schedule(grid, 3.0)),
        ({"num_inference_steps": 2}, linear_schedule(2, 3.0)),
        ({"sigmas": [1.0, 0.5, 0.1]}, shifted_schedule([1.0, 0.5, 0.1], 3.0)),
    ):
        latents_of(pipeline, **options)
        torch.testing.assert_close(pipeline.scheduler.sigmas, torch.tensor(expected))


@pytest.mark.parametrize("kind", ["exponential", "linear"])
def test_a_dynamic_shift_follows_the_number_of_tokens(kind: Any):
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, time_shift_type=kind)
    pipeline = tiny_pipeline(scheduler=scheduler)
    for height, width in ((8, 12), (32, 24)):
        latents_of(pipeline, height=height, width=width)
        shift = shift_of_scheduler(scheduler.config, (height // 2) * (width // 2))
        expected = torch.tensor(linear_schedule(3, shift))
        torch.testing.assert_close(scheduler.sigmas, expected)


def test_a_scheduler_that_takes_no_sigmas_walks_its_own_grid():
    pipeline = tiny_pipeline(scheduler=FlowMatchHeunDiscreteScheduler(shift=3.0))
    assert latents_of(pipeline, num_inference_steps=3).shape == (2, 1, 1, 8, 12)
    with pytest.raises(ValueError, match="FlowMatchHeunDiscreteScheduler cannot be given the sigmas"):
        latents_of(pipeline, sigmas=[1.0, 0.4])


def test_a_picture_does_not_depend_on_the_others(pipeline: TextToImagePipeline):
    together = latents_of(pipeline, generator=generators(7, 8), guidance_scale=2.0)
    for prompt, seed, picture in zip(PROMPTS, (7, 8), together, strict=True):
        alone = latents_of(pipeline, prompt, generator=generators(seed), guidance_scale=2.0)
        torch.testing.assert_close(alone[0], picture, rtol=0, atol=1e-5)


def test_pictures_of_one_prompt_lie_beside_each_other(pipeline: TextToImagePipeline):
    many = latents_of(pipeline, num_images_per_prompt=2, generator=generators(1, 2, 3, 4))
    listed = latents_of(pipeline, [p for p in PROMPTS for _ in range(2)], generator=generators(1, 2, 3, 4))
    assert torch.equal(many, listed)


def test_given_noise_and_embeddings_replace_drawn_and_encoded_ones(pipeline: TextToImagePipeline):
    drawn = latents_of(pipeline, generator=generators(5, 6), guidance_scale=2.0)
    given = latents_of(
        pipeline,
        None,
        latents=noise(5, 6),
        prompt_embeds=embeddings(pipeline, PROMPTS),
        negative_prompt_embeds=embeddings(pipeline, [""]),
        guidance_scale=2.0,
    )
    assert torch.equal(given, drawn)


def test_a_negative_prompt_of_the_same_text_undoes_guidance(pipeline: TextToImagePipeline):
    guided = latents_of(pipeline, negative_prompt=PROMPTS, guidance_scale=9.0, generator=generators(1, 2))
    plain = latents_of(pipeline, guidance_scale=1.0, generator=generators(1, 2))
    torch.testing.assert_close(guided, plain, rtol=0, atol=1e-4)


def test_a_callback_sees_every_step_and_may_replace_tensors(pipeline: TextToImagePipeline):
    seen = []

    def callback(pipe: TextToImagePipeline, step: int, timestep: Tensor, tensors: dict[str, Tensor]):
        assert pipe is pipeline
        seen.append((step, float(timestep)))
        return {"latents": torch.zeros_like(tensors["latents"])} if step == 2 else None

    assert not latents_of(pipeline, callback_on_step_end=callback).any()
    assert [step for step, _ in seen] == [0, 1, 2]
    assert [time for _, time in seen] == pipeline.scheduler.timesteps.tolist()


def test_output_types_are_the_same_picture(pipeline: TextToImagePipeline):
    results = {
        kind: pipeline(PROMPTS, generator=generators(1, 2), output_type=kind).images
        for kind in ("pil", "np", "pt", "latent")
    }
    expected = (results["latent"][:, :, 0].clamp(-1, 1) + 1) / 2
    torch.testing.assert_close(results["pt"], expected)
    assert np.array_equal(results["np"], expected.permute(0, 2, 3, 1).numpy())
    assert [image.mode for image in results["pil"]] == ["L", "L"]
    assert np.array_equal(np.asarray(results["pil"][0]), (expected[0, 0] * 255).round().byte().numpy())
    assert pipeline(PROMPTS, return_dict=False)[0][1].size == (12, 8)


def test_three_channels_are_a_colour_picture():
    pipeline = tiny_pipeline(transformer=tiny_transformer(in_channels=3, out_channels=3))
    assert [image.mode for image in pipeline(PROMPTS).images] == ["RGB", "RGB"]


def autoencoder(name: str) -> Any:
    if name == "kl":
        blocks: dict[str, Any] = {
            "block_out_channels": (4, 8),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
        }
        return AutoencoderKL(**blocks, latent_channels=4, norm_num_groups=2)
    if name == "tiny":
        return AutoencoderTiny(
            encoder_block_out_channels=(4, 4),
            decoder_block_out_channels=(4, 4),
            num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
            latent_channels=4,
        )
    return AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1] * 4,
        latents_std=[2.0] * 4,
    )


@pytest.mark.parametrize(("name", "factor"), [("kl", 2), ("tiny", 2), ("wan", 8)])
def test_latents_of_any_autoencoder_become_pictures(name: str, factor: int):
    network = tiny_transformer(in_channels=4, out_channels=4)
    pipeline = tiny_pipeline(transformer=network, vae=autoencoder(name).eval())
    size: dict[str, Any] = {"height": 4 * factor, "width": 6 * factor}
    assert latents_of(pipeline, **size).shape == (2, 4, 1, 4, 6)
    pixels = pipeline(PROMPTS, output_type="pt", **size).images
    assert pixels.shape == (2, 3, 4 * factor, 6 * factor)
    assert pixels.min() >= 0
    assert pixels.max() <= 1


def test_offloading_by_hooks_changes_nothing():
    network, vae = tiny_transformer(in_channels=4, out_channels=4), autoencoder("tiny")
    pipeline = tiny_pipeline(transformer=network, vae=vae)
    expected = pipeline(PROMPTS, generator=generators(1, 2), output_type="pt").images
    pipeline.enable_model_cpu_offload(device="cpu")
    assert torch.equal(pipeline(PROMPTS, generator=generators(1, 2), output_type="pt").images, expected)
    assert all(hasattr(part, "_hf_hook") for part in (network, vae, pipeline.text_encoder))


def test_diffusers_own_transformer_gives_the_same_picture(pipeline: TextToImagePipeline):
    network: Any = WanTransformer3DModel.from_config(pipeline.transformer.config)
    network.load_state_dict(pipeline.transformer.state_dict())
    other = tiny_pipeline(transformer=network.eval())
    options: dict[str, Any] = {"guidance_scale": 2.0}
    ours = latents_of(pipeline, generator=generators(1, 2), **options)
    theirs = latents_of(other, generator=generators(1, 2), **options)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


def test_low_precision_weights_get_the_time_in_float32():
    pipeline = tiny_pipeline().to(torch.bfloat16)
    times = []
    pipeline.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: times.append(kwargs["timestep"]), with_kwargs=True
    )
    found = latents_of(pipeline, sigmas=[1.0, 0.7123])
    assert found.dtype == torch.float32  # the sampler itself stays in float32
    assert [time.dtype for time in times] == [torch.float32] * 2
    assert times[1][0] == pipeline.scheduler.timesteps[1]


def test_values_that_are_not_finite_are_an_error_not_a_black_picture():
    pipeline = tiny_pipeline()
    pipeline.transformer.proj_out.bias.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        pipeline(PROMPTS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": None}, "give either prompt or prompt_embeds"),
        ({"prompt": []}, "empty list"),
        ({"height": 9}, "height must be a multiple of 2"),
        ({"sigmas": [0.5, 1.0]}, "falling times"),
        ({"sigmas": [1.0, 0.0]}, "falling times"),
        ({"sigmas": [1.0, 0.5], "num_inference_steps": 3}, "there are 2 sigmas"),
        ({"num_inference_steps": 0}, "expected 1 or more"),
        ({"generator": generators(1)}, "1 generators for 2 pictures"),
        ({"latents": torch.zeros(2, 3, 1, 8, 8)}, r"expected \(2, 1, 1, height, width\)"),
        ({"output_type": "jpg"}, "expected one of"),
        ({"callback_on_step_end_tensor_inputs": ["noise"]}, r"names \['noise'\]"),
        ({"prompt": None, "prompt_embeds": torch.zeros(2, 8, 5)}, "tokens, 16"),
        ({"guidance_scale": 2.0, "negative_prompt": [""] * 3}, r"expected \(2 or 1, 8, 16\)"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    pipeline: TextToImagePipeline, options: dict[str, Any], message: str
):
    with pytest.raises(ValueError, match=message):
        pipeline(**{"prompt": PROMPTS, **options})


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="takes 1 channels, but the latents of this AutoencoderTiny have 4"):
        tiny_pipeline(vae=autoencoder("tiny"))
    bare = tiny_pipeline(text_encoder=None, tokenizer=None, default_height=None)
    with pytest.raises(ValueError, match="no text encoder; give prompt_embeds"):
        bare(PROMPTS)
    with pytest.raises(ValueError, match="give height and width"):
        bare(prompt_embeds=torch.zeros(1, 8, 16))

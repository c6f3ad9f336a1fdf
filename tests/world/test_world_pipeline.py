"""The world pipeline: the clean first frame at every step, action guidance, files, and mistakes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from tiny_world import CHANNELS, picture, pipeline_of, rows, seeded, tiny_world

from vision import WorldPipeline
from vision.latents import decode, encode
from vision.latents.cache import to_unit_range
from vision.media import to_tensor
from vision.transformer import Actions


def test_the_first_frame_stays_at_every_step() -> None:
    pipeline, image = pipeline_of(), picture()
    with torch.no_grad():
        first = encode(pipeline.vae, to_unit_range(to_tensor(image))[None])
    asked: list[tuple[torch.Tensor, torch.Tensor]] = []

    def watch(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        asked.append((kwargs["hidden_states"], kwargs["timestep"]))

    pipeline.transformer.register_forward_pre_hook(watch, with_kwargs=True)
    seen: list[torch.Tensor] = []

    def spoil(
        pipe: Any, step: int, timestep: Any, tensors: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        seen.append(tensors["latents"])
        return {"latents": tensors["latents"] + 1}  # also of the first frame

    result = pipeline(
        image, rows(), generator=seeded(), output_type="latent", callback_on_step_end=spoil
    ).frames
    assert result.shape == (1, CHANNELS, 3, 4, 4) and len(seen) == len(asked) == 4
    for latents in [result, *seen, *(latents for latents, _ in asked)]:
        assert torch.equal(latents[:, :, :1], first)
    for (_, times), sigma in zip(asked, [1.0, 0.9375, 5 / 6, 0.625], strict=True):
        assert times.tolist() == [[0.0, pytest.approx(1000 * sigma), pytest.approx(1000 * sigma)]]


def test_frames_in_every_form() -> None:
    pipeline, image = pipeline_of(), picture()
    latents = pipeline(image, rows(), generator=seeded(), output_type="latent").frames
    with torch.no_grad():
        decoded = (decode(pipeline.vae, latents) / 2 + 0.5).clamp(0, 1).transpose(1, 2)
    shown = pipeline(image, rows(), generator=seeded(), output_type="pt", return_dict=False)[0]
    assert shown.shape == (1, 9, 3, 16, 16)
    torch.testing.assert_close(shown, decoded)
    pictures = pipeline(image, rows(), generator=seeded()).frames
    assert len(pictures) == 1 and len(pictures[0]) == 9 and pictures[0][0].size == (16, 16)
    arrays = pipeline(image, rows(), generator=seeded(), output_type="np").frames
    assert arrays.shape == (1, 9, 16, 16, 3)


def test_clips_of_a_batch_are_those_of_single_calls() -> None:
    pipeline, images, actions = pipeline_of(), [picture(1), picture(2)], rows(2)
    both = pipeline(images, actions, generator=[seeded(1), seeded(2)], output_type="latent").frames
    assert not torch.equal(both[0], both[1])
    for index, image in enumerate(images):
        own = Actions(actions.sticks[index : index + 1], actions.buttons[index : index + 1])
        alone = pipeline(image, own, generator=seeded(index + 1), output_type="latent").frames[0]
        torch.testing.assert_close(alone, both[index], rtol=0, atol=1e-5)


def test_a_scheduler_that_adds_noise_draws_it_from_the_generator() -> None:
    pipeline, image = pipeline_of(), picture()

    def drawn() -> torch.Tensor:
        return pipeline(image, rows(), generator=seeded(), output_type="latent").frames

    without = drawn()
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler.from_config(
        pipeline.scheduler.config, stochastic_sampling=True
    )
    once = drawn()
    torch.manual_seed(7)  # of the generator that a call without one would draw from
    assert torch.equal(once, drawn()) and not torch.equal(once, without)


def test_action_guidance() -> None:
    pipeline, image, actions = pipeline_of(), picture(), rows()
    calls: list[int] = []
    pipeline.transformer.register_forward_hook(lambda module, args, output: calls.append(1))

    def drawn(**options: Any) -> torch.Tensor:
        return pipeline(image, generator=seeded(), output_type="latent", **options).frames

    plain, null = drawn(actions=actions), drawn(num_frames=9)
    assert len(calls) == 8
    assert (plain - null).abs().max() > 1e-3
    torch.testing.assert_close(drawn(actions=actions, action_guidance_scale=0.0), null, rtol=0, atol=1e-4)
    # One step is linear in the scale.
    one, two, three = (
        drawn(actions=actions, action_guidance_scale=scale, num_inference_steps=1)
        for scale in (1.0, 2.0, 3.0)
    )
    torch.testing.assert_close(three - two, two - one, rtol=0, atol=1e-4)
    assert (two - one).abs().max() > 1e-3
    # A null action that says what the rows say is no other than they are.
    constant = Actions(torch.full((1, 9, 4), 0.5), torch.ones(1, 9, 6))
    with torch.no_grad():
        null_row = torch.cat([constant.sticks[0, 0], constant.buttons[0, 0]])
        pipeline.transformer.get_parameter("condition_inputs.actions.null").copy_(null_row)
    torch.testing.assert_close(
        drawn(actions=constant, action_guidance_scale=5.0), drawn(actions=constant), rtol=0, atol=1e-4
    )


def test_a_pipeline_is_saved_and_loaded(tmp_path: Path) -> None:
    transformer = tiny_world()
    transformer.set_causal(2, 4)
    pipeline = pipeline_of(
        transformer, default_height=16, default_width=16, default_action_guidance_scale=2.0, frame_rate=17.5
    )
    pipeline.prompt_embeds = torch.randn(1, 3, 8)
    pipeline.save_pretrained(tmp_path / "world")
    loaded = WorldPipeline.from_pretrained(tmp_path / "world")
    loaded.set_progress_bar_config(disable=True)
    for name in ("height", "width", "num_inference_steps", "action_guidance_scale", "sigmas"):
        assert loaded.config[f"default_{name}"] == pipeline.config[f"default_{name}"]
    assert loaded.config["frame_rate"] == 17.5 and loaded.scheduler.config.shift == 5.0
    assert loaded.transformer.causality == transformer.causality
    outputs = [
        found(picture(), rows(), generator=seeded(), output_type="latent").frames
        for found in (pipeline, loaded)
    ]
    assert torch.equal(*outputs)
    loaded.prompt_embeds = torch.zeros(1, 3, 8)
    other = loaded(picture(), rows(), generator=seeded(), output_type="latent").frames
    assert not torch.equal(other, outputs[0])
    given = loaded(
        picture(), rows(), generator=seeded(), output_type="latent", prompt_embeds=pipeline.prompt_embeds
    ).frames
    assert torch.equal(given, outputs[0])


def test_damaged_folders_are_errors(tmp_path: Path) -> None:
    folder = tmp_path / "world"
    pipeline_of().save_pretrained(folder)
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace('"WorldPipeline"', '"WanPipeline"'))
    with pytest.raises(ValueError, match="holds a WanPipeline, expected WorldPipeline"):
        WorldPipeline.from_pretrained(folder)
    index.write_text(index.read_text().replace('"WanPipeline"', '"WorldPipeline"'))
    config = folder / "vae" / "config.json"
    config.write_text(config.read_text().replace('"num_res_blocks": 1', '"num_res_blocks": 2'))
    with pytest.raises(ValueError, match="missing"):
        WorldPipeline.from_pretrained(folder)
    with pytest.raises(ValueError, match="never done"):
        WorldPipeline.from_pretrained(folder, use_safetensors=False)


def test_a_world_without_actions() -> None:
    pipeline = pipeline_of(tiny_world({}))
    with pytest.raises(ValueError, match=r"takes no actions.*add_conditioning\('action'\)"):
        pipeline(picture(), rows())
    frames = pipeline(picture(), num_frames=9, generator=seeded(), output_type="pt").frames
    assert frames.shape == (1, 9, 3, 16, 16)


def test_parts_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"in_channels=6.*4 channels"):
        pipeline_of(tiny_world(in_channels=6, out_channels=6))
    with pytest.raises(ValueError, match="span 2 latent frames"):
        pipeline_of(tiny_world(patch_size=[2, 2, 2]))
    with pytest.raises(ValueError, match="video autoencoder with 4 frames"):
        nothing: Any = None
        WorldPipeline(tiny_world(), FlowMatchEulerDiscreteScheduler(), nothing)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (picture(size=(16, 24)), "16 x 24.*made for 16 x 16.*resize_and_crop"),
        (picture().convert("L"), "mode L, expected RGB"),
        (picture().convert("RGBA"), "mode RGBA, expected RGB"),
        ([], "at least one picture"),
        ([picture(), picture(size=(8, 16))], "one size, found 16 x 16, 8 x 16"),
        (torch.zeros(3, 16, 16), r"shape \(3, 16, 16\)"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "uint8"),
        (torch.full((1, 3, 16, 16), 2.0), r"lie in \[2, 2\]"),
        (torch.full((1, 3, 16, 16), float("nan")), r"expected \[-1, 1\]"),
    ],
)
def test_first_frames_of_another_kind(image: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline_of(default_height=16, default_width=16)(image, rows())


def test_arguments_that_do_not_fit() -> None:
    pipeline = pipeline_of()
    with pytest.raises(ValueError, match="height must be a multiple of 8, width of 8"):
        pipeline(picture(size=(16, 20)), rows())
    with pytest.raises(ValueError, match="actions for 2 clips and 1 first frames"):
        pipeline(picture(), rows(2))
    with pytest.raises(ValueError, match="give actions, one row a frame, or num_frames"):
        pipeline(picture())
    with pytest.raises(ValueError, match=r"at least 5 frames.*found 4"):
        pipeline(picture(), num_frames=4)
    with pytest.raises(ValueError, match="2 generators for 1 clips"):
        pipeline(picture(), rows(), generator=[seeded(), seeded()])
    with pytest.raises(ValueError, match=r"latents have shape \(1, 4, 2, 4, 4\), expected \(1, 4, 3, 4, 4\)"):
        pipeline(picture(), rows(), latents=torch.zeros(1, 4, 2, 4, 4))
    with pytest.raises(ValueError, match="prompt embeddings have shape"):
        pipeline(picture(), rows(), prompt_embeds=torch.zeros(1, 3, 9))
    with pytest.raises(ValueError, match="output_type is 'gif'"):
        pipeline(picture(), rows(), output_type="gif")
    actions = rows()
    longer = Actions(
        torch.cat([actions.sticks, actions.sticks[:, :2]], 1), actions.buttons[:, [*range(9), 0, 0]]
    )
    with pytest.warns(UserWarning, match="the last 2 of 11 frames are cut off"):
        frames = pipeline(picture(), longer, generator=seeded(), output_type="pt").frames
    assert frames.shape[1] == 9


def test_the_last_row_is_not_read() -> None:
    pipeline, actions = pipeline_of(), rows()
    sticks = actions.sticks.clone()
    sticks[:, -1] = 0
    one, other = (
        pipeline(picture(), given, generator=seeded(), output_type="latent").frames
        for given in (actions, Actions(sticks, actions.buttons))
    )
    assert torch.equal(one, other)

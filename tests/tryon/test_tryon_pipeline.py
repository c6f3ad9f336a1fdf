"""The try-on pipeline: what a call gives, guidance, the guider's cache, windows, repainting, files."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from tiny_tryon_model import (
    ACTIONS,
    CHANNELS,
    clip_inputs,
    pictures,
    pipeline_of,
    seeded,
    tiny_text_encoder,
    tiny_tryon,
)

from vision import TryOnPipeline
from vision.latents import decode
from vision.tryon import action_segments, arope_positions
from vision.tryon.repaint import repaint
from vision.tryon.timing import TIMINGS


def latents_of(pipeline: TryOnPipeline, frames: int = 17, **options: Any) -> torch.Tensor:
    given = {"actions": ACTIONS, **clip_inputs(frames), "generator": seeded(), "output_type": "latent"}
    return pipeline(**{**given, **options}).frames


def test_frames_in_every_form_and_from_pictures() -> None:
    pipeline, inputs = pipeline_of(), clip_inputs()
    latents = latents_of(pipeline)
    assert latents.shape == (1, CHANNELS, 5, 4, 6)
    with torch.no_grad():
        decoded = (decode(pipeline.vae, latents) / 2 + 0.5).clamp(0, 1).transpose(1, 2)
    shown = pipeline(**inputs, actions=ACTIONS, generator=seeded(), output_type="pt", return_dict=False)[0]
    assert shown.shape == (1, 17, 3, 16, 24)  # as many frames as the video
    torch.testing.assert_close(shown, decoded)
    assert not torch.equal(latents, latents_of(pipeline, generator=seeded(1)))
    given = {name: pictures(inputs[name]) for name in ("video", "mask", "pose", "hands")}
    frames = pipeline(**{**inputs, **given}, actions=ACTIONS, generator=seeded()).frames
    assert len(frames) == 1 and len(frames[0]) == 17 and frames[0][0].size == (24, 16)
    floats = {name: inputs[name] / 127.5 - 1 for name in ("video", "pose", "hands")}
    same = latents_of(pipeline, **floats, mask=inputs["mask"].bool()[0])
    torch.testing.assert_close(same, latents, rtol=0, atol=1e-5)


def test_every_condition_counts() -> None:
    pipeline = pipeline_of()
    before, other = latents_of(pipeline), clip_inputs(seed=1)
    for name in ("video", "pose", "hands", "garment"):
        assert (latents_of(pipeline, **{name: other[name]}) - before).abs().max() > 1e-4, name
    cases: list[dict[str, Any]] = [
        {"actions": None},
        {"actions": [(1, 8, "zip")]},
        {"actions": [(9, 16, "zip")]},
        {"prompt": "a person"},
        {"negative_prompt": "a person"},
        {"conditioning_scale": 0.5},
        {"hands": None},
        {"pose": None},
    ]
    for options in cases:
        assert (latents_of(pipeline, **options) - before).abs().max() > 1e-4, options
    as_json = json.dumps([{"start": first, "end": last, "label": text} for first, last, text in ACTIONS])
    assert torch.equal(latents_of(pipeline, actions=as_json), before)


def test_guidance() -> None:
    pipeline = pipeline_of()
    asked: list[dict[str, Any]] = []
    pipeline.transformer.register_forward_pre_hook(
        lambda m, a, kwargs: asked.append(kwargs), with_kwargs=True
    )
    latents_of(pipeline, guidance_scale=1.0)
    assert len(asked) == 2
    asked.clear()
    one, two, three = (
        latents_of(pipeline, guidance_scale=scale, num_inference_steps=1) for scale in (1.0, 2.0, 3.0)
    )
    torch.testing.assert_close(three - two, two - one, rtol=0, atol=1e-4)
    # The other branch: same video, garment and hands, same segments, nothing said in any.
    negative, positive = asked[-2:]
    for name in ("control_hidden_states", "guide_latents", "frame_positions"):
        assert torch.equal(negative[name], positive[name]), name
    segments = action_segments(ACTIONS, 17)
    empty = pipeline.text_encoder(torch.tensor([[2, 3]])).last_hidden_state  # "" of the tiny tokenizer
    expected = empty.expand(len(segments), -1, -1).flatten(0, 1)[None]
    torch.testing.assert_close(negative["timed_text"], expected, rtol=0, atol=1e-6)
    assert positive["timed_text"].shape[1] > negative["timed_text"].shape[1]
    assert not negative["text_positions"].any() and positive["text_positions"].any()


@pytest.mark.parametrize("steps", [1, 3])
def test_the_guider_works_once_a_clip_and_branch_with_the_same_result_at_every_step(steps: int) -> None:
    pipeline = pipeline_of()
    guides: list[torch.Tensor] = []
    block = pipeline.transformer.guides["guider"].blocks[0]
    hook = block.register_forward_hook(lambda module, args, output: guides.append(output))
    kept = latents_of(pipeline, num_inference_steps=steps)
    assert len(guides) == 2
    anew = pipeline.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: (args, {**kwargs, "guide_cache": None}), with_kwargs=True
    )
    guides.clear()
    assert torch.equal(latents_of(pipeline, num_inference_steps=steps), kept)
    assert len(guides) == 2 * steps
    for number, guide in enumerate(guides):
        assert torch.equal(guide, guides[number % 2])
    hook.remove()
    anew.remove()


@pytest.mark.parametrize("kind", TIMINGS)
def test_every_timing_runs_and_is_saved(kind: str, tmp_path: Path) -> None:
    guider = {"spans": True} if kind == "concat_time" else {}
    pipeline = pipeline_of(tiny_tryon(guider), timing={"kind": kind}, reference_padding="zeros")
    found = latents_of(pipeline, num_inference_steps=1)
    pipeline.save_pretrained(tmp_path)
    again = TryOnPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert again.config["timing"] == {"kind": kind} and again.config["reference_padding"] == "zeros"
    torch.testing.assert_close(latents_of(again, num_inference_steps=1), found, rtol=0, atol=1e-5)


def test_a_padding_of_zeros_is_what_the_network_sees() -> None:
    seen: dict[str, list[torch.Tensor]] = {}
    for padding in ("noised", "zeros"):
        pipeline = pipeline_of(reference_padding=padding)
        seen[padding] = []
        pipeline.transformer.register_forward_pre_hook(
            lambda module, args, kwargs, kept=seen[padding]: kept.append(kwargs["hidden_states"][:, :, 0]),
            with_kwargs=True,
        )
        latents_of(pipeline)
    assert all(frame.abs().max() == 0 for frame in seen["zeros"])
    assert all(frame.abs().max() > 0.1 for frame in seen["noised"])


def test_long_videos_are_made_in_windows_that_know_what_was_shown() -> None:
    pipeline, inputs = pipeline_of(default_guidance_scale=1.0), clip_inputs(21)
    actions = [(2, 8, "zip"), (13, 20, "adjust the hem")]
    controls: list[dict[str, torch.Tensor]] = []
    pipeline.transformer.register_forward_pre_hook(
        lambda m, a, kwargs: controls.append(kwargs), with_kwargs=True
    )
    calls: list[int] = []
    shown = pipeline(
        **inputs,
        actions=actions,
        num_inference_steps=1,
        window_frames=13,
        window_overlap=5,
        generator=seeded(),
        output_type="pt",
        callback_on_step_end=lambda pipe, step, timestep, tensors: calls.append(step),
    ).frames
    assert shown.shape == (1, 21, 3, 16, 24) and calls == [0, 0]
    # The second window is the frames 8 to 20: it begins with what the first one showed, timed anew.
    first, second = controls
    assert second["control_hidden_states"][0, 2 * CHANNELS :, 1:3].abs().max() == 0  # 5 known frames
    assert first["control_hidden_states"][0, 2 * CHANNELS :, 1:].abs().max() == 1
    for window, part in ((first, [(2, 8, "zip")]), (second, [(0, 0, "zip"), (5, 12, "adjust the hem")])):
        segments = action_segments(part, 13)
        assert len(segments) == 3
        queries, _ = arope_positions(segments, [1, 1, 1])
        assert torch.equal(window["frame_positions"][0, 1:], queries)
    whole = pipeline(
        **{name: value if name == "garment" else value[:, :13] for name, value in inputs.items()},
        actions=[(2, 8, "zip")],
        num_inference_steps=1,
        generator=seeded(),
        output_type="pt",
    ).frames
    assert torch.equal(shown[:, :13], whole)


def test_repainting_keeps_what_was_filmed() -> None:
    pipeline, inputs = pipeline_of(), clip_inputs()
    plain, painted = (
        pipeline(**inputs, generator=seeded(), repaint=flag, output_type="pt").frames
        for flag in (False, True)
    )
    filmed = inputs["video"].transpose(0, 1)[None] / 255
    outside = (inputs["mask"] == 0).transpose(0, 1)[None].expand_as(plain)
    torch.testing.assert_close(painted[outside], filmed[outside], rtol=0, atol=1e-5)
    torch.testing.assert_close(painted[~outside], plain[~outside], rtol=0, atol=1e-5)
    assert (plain[outside] - filmed[outside]).abs().max() > 0.1


def test_a_softened_edge_mixes_both_only_there() -> None:
    made, video = torch.ones(1, 3, 2, 20, 20), -torch.ones(1, 3, 2, 20, 20)
    mask = torch.zeros(1, 1, 2, 20, 20)
    mask[..., 10:] = 1
    columns = repaint(made, video, mask, kernel=5)[0, 0, 0, 0]
    assert (columns[:8] == -1).all() and (columns[12:] == 1).all()
    assert (columns[8:12].diff() > 0).all() and columns[8] > -1 and columns[11] < 1
    assert torch.equal(repaint(made, video, mask, kernel=1), torch.where(mask > 0, made, video))
    with pytest.raises(ValueError, match="kernel of repainting is 4"):
        repaint(made, video, mask, kernel=4)


def test_a_few_step_model_uses_its_own_grid() -> None:
    pipeline = pipeline_of(default_sigmas=[1.0, 0.75, 0.5, 0.25], default_guidance_scale=1.0)
    asked: list[float] = []
    pipeline.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: asked.append(kwargs["timestep"].item()), with_kwargs=True
    )
    latents_of(pipeline)
    assert asked == [1000.0, 937.5, pytest.approx(1000 * 5 / 6), 625.0]


def test_embeddings_replace_the_text_encoder(tmp_path: Path) -> None:
    whole = pipeline_of()
    expected = latents_of(whole, prompt="a person")
    embeds, negative = whole.encode_prompt("a person")
    captions = {text: whole.encode_prompt(text)[0][0] for text in ("", "zip", "adjust the hem")}
    lengths = {"": 2, "zip": 3, "adjust the hem": 5}
    given = {
        "prompt_embeds": embeds,
        "negative_prompt_embeds": negative,
        "caption_embeds": {text: captions[text][: lengths[text]] for text in captions},
    }
    bare = pipeline_of(text_encoder=None, tokenizer=None)
    torch.testing.assert_close(latents_of(bare, **given), expected, rtol=0, atol=1e-5)
    bare.save_pretrained(tmp_path)
    assert TryOnPipeline.from_pretrained(tmp_path).text_encoder is None
    with pytest.raises(ValueError, match="no text encoder; pass prompt_embeds"):
        latents_of(bare)
    with pytest.raises(ValueError, match="no text encoder; pass caption_embeds"):
        latents_of(bare, **{**given, "caption_embeds": None})
    del given["caption_embeds"]["zip"]
    with pytest.raises(ValueError, match="caption_embeds lack 'zip'"):
        latents_of(bare, **given)


def test_a_pipeline_is_saved_and_loaded_whole(tmp_path: Path) -> None:
    pipeline = pipeline_of(window_frames=33, window_overlap=9, default_negative_prompt="collar")
    expected = latents_of(pipeline)
    pipeline.save_pretrained(tmp_path / "tryon")
    loaded = TryOnPipeline.from_pretrained(tmp_path / "tryon")
    loaded.set_progress_bar_config(disable=True)
    for name in ("window_frames", "window_overlap", "default_negative_prompt", "max_prompt_tokens"):
        assert loaded.config[name] == pipeline.config[name]
    torch.testing.assert_close(latents_of(loaded), expected, rtol=0, atol=1e-5)
    index = tmp_path / "tryon" / "model_index.json"
    index.write_text(index.read_text().replace('"TryOnPipeline"', '"WorldPipeline"'))
    with pytest.raises(ValueError, match="holds a WorldPipeline, expected TryOnPipeline"):
        TryOnPipeline.from_pretrained(tmp_path / "tryon")
    with pytest.raises(ValueError, match="never done"):
        TryOnPipeline.from_pretrained(tmp_path / "tryon", use_safetensors=False)


def test_a_short_action_is_warned_of_once_and_not_for_what_a_window_cuts_off() -> None:
    pipeline, inputs = pipeline_of(default_guidance_scale=1.0), clip_inputs(21)
    options: dict[str, Any] = {"num_inference_steps": 1, "window_frames": 13, "window_overlap": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        pipeline(**inputs, actions=[(12, 20, "zip")], **options)  # one frame of it in the first window
    with pytest.warns(
        UserWarning, match=r"'zip' \[10, 10\] has the most frames of no latent frame"
    ) as caught:
        pipeline(**inputs, actions=[(10, 10, "zip")], **options)
    assert len([one for one in caught if "latent frame" in str(one.message)]) == 1


def test_a_lora_is_loaded_by_the_pipeline(tmp_path: Path) -> None:
    pipeline = pipeline_of(default_guidance_scale=1.0)
    before = latents_of(pipeline)
    network = pipeline.transformer
    network.add_adapter(
        LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
    )
    trained = latents_of(pipeline)
    weights: dict[str, Any] = get_peft_model_state_dict(network)
    assert {name.split(".")[0] for name in weights} == {"blocks", "vace_blocks", "guides"}
    TryOnPipeline.save_lora_weights(tmp_path, transformer_lora_layers=weights)
    other = pipeline_of(default_guidance_scale=1.0)
    other.load_lora_weights(str(tmp_path))
    torch.testing.assert_close(latents_of(other), trained, rtol=0, atol=1e-5)
    assert (trained - before).abs().max() > 1e-3
    other.unload_lora_weights()
    torch.testing.assert_close(latents_of(other), before, rtol=0, atol=1e-5)


def test_parts_that_do_not_fit() -> None:
    plain = {"vace_layers": None, "vace_in_channels": None}
    nothing: Any = None
    with pytest.raises(ValueError, match="has no context blocks"):
        model = tiny_tryon()
        config = {name: value for name, value in model.config.items() if name[:1] != "_"}
        pipeline_of(type(model)(**{**config, **plain, "conditioning": None}))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"vae": nothing}, "video autoencoder with 4 frames"),
        ({"transformer": tiny_tryon(in_channels=6)}, r"in_channels=6.*4 channels"),
        ({"transformer": tiny_tryon(patch_size=[2, 2, 2])}, "span 2 latent frames"),
        ({"text_encoder": tiny_text_encoder(24)}, r"width 16 \(text_dim\).*gives 24"),
        ({"timing": {"kind": "concat_time"}}, "spans=False"),
        ({"timing": {"kind": "clock"}}, "timing is 'clock'"),
        ({"reference_padding": "white"}, "reference_padding is 'white'"),
        ({"window_overlap": 81}, "cannot share 81"),
        ({"window_frames": 80}, r"expected 4n \+ 1"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            pipeline_of(**options)


@pytest.mark.parametrize("sampler", [UniPCMultistepScheduler, DPMSolverMultistepScheduler])
def test_multistep_schedulers_come_to_what_euler_does(sampler: Any) -> None:
    pipeline = pipeline_of(default_guidance_scale=1.0)
    expected = latents_of(pipeline, num_inference_steps=60)
    pipeline.scheduler = sampler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0)
    found = latents_of(pipeline, num_inference_steps=60)
    assert (found - expected).abs().mean() < 0.05 * expected.std()

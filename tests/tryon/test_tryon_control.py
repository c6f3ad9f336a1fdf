"""What the context blocks read: nothing leaks, and it is what VACE encodes."""

from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_wan_vace import WanVACETransformer3DModel
from diffusers.pipelines.wan.pipeline_wan_vace import WanVACEPipeline
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from tiny_tryon_model import (
    ARCHITECTURE,
    CHANNELS,
    SIDE,
    clip_inputs,
    draw,
    pictures,
    pipeline_of,
    seeded,
    tiny_autoencoder,
    tiny_tryon,
)

from vision.transformer import VideoTransformer
from vision.tryon.clip import TryOnClip, make_clip
from vision.tryon.control import compose, control_latents, mask_channels


def clip_of(frames: int = 9, **changes: Any) -> TryOnClip:
    return make_clip(**{**clip_inputs(frames), **changes}, actions=None, multiples=(8, 8))


def control_of(vae: Any, clip: TryOnClip, split: bool = True) -> torch.Tensor:
    with torch.no_grad():
        return control_latents(vae, clip.video, clip.mask, clip.pose, clip.garment, split)


def test_nothing_of_the_garment_worn_and_no_pose_outside_the_mask_gets_in():
    vae, clip = tiny_autoencoder(), clip_of()
    before = control_of(vae, clip)
    mask = clip.mask.bool().expand_as(clip.video)
    for name, where in (("video", mask), ("pose", ~mask)):
        other = getattr(clip, name).clone()
        other[where] = torch.rand(int(where.sum())) * 2 - 1
        changed = TryOnClip(**{**vars(clip), name: other})
        assert torch.equal(control_of(vae, changed), before), name
    inactive, reactive = slice(0, CHANNELS), slice(CHANNELS, 2 * CHANNELS)
    for name, where, changes, stays in (
        ("video", ~mask, inactive, reactive),
        ("pose", mask, reactive, inactive),
    ):
        other = getattr(clip, name).clone()
        other[where] = -other[where]
        found = control_of(vae, TryOnClip(**{**vars(clip), name: other}))
        assert (found[:, changes] - before[:, changes]).abs().max() > 1e-3
        assert torch.equal(found[:, stays], before[:, stays])
        assert torch.equal(found[:, :, 0], before[:, :, 0])  # the garment's frame


def test_the_garments_frame_comes_first_with_zeros_beside_it():
    vae, clip = tiny_autoencoder(), clip_of()
    control = control_of(vae, clip)
    assert control.shape == (1, 2 * CHANNELS + SIDE**2, 1 + 3, 4, 6)
    assert control[:, :CHANNELS, 0].abs().max() > 0 and control[:, CHANNELS:, 0].abs().max() == 0
    at_once = control_of(vae, clip, split=False)
    assert at_once.shape == (1, CHANNELS + SIDE**2, 1 + 3, 4, 6)
    assert torch.equal(at_once[:, :CHANNELS, 0], control[:, :CHANNELS, 0])
    assert torch.equal(at_once[:, CHANNELS:], control[:, 2 * CHANNELS :])


def test_the_mask_keeps_every_pixel_of_a_frame():
    mask = (torch.rand(2, 1, 9, 8, 12) < 0.5).float()
    channels = mask_channels(mask, SIDE, 4)
    assert channels.shape == (2, 16, 3, 2, 3)
    assert torch.equal(channels.mean((1, 3, 4))[:, 0], mask[:, 0].mean((2, 3))[:, 1])  # a frame, whole
    still = mask[:, :, :1].expand(-1, -1, 9, -1, -1)
    pixels = mask_channels(still, SIDE, 4).unflatten(1, (SIDE, SIDE)).permute(0, 3, 4, 1, 5, 2).flatten(4)
    assert torch.equal(pixels.flatten(2, 3)[:, 0], mask[:, 0, 0])


def test_composition_takes_each_pixel_from_one_side():
    clip = clip_of()
    mixed, mask = compose(clip.video, clip.mask, clip.pose), clip.mask.bool().expand_as(clip.video)
    assert torch.equal(mixed[mask], clip.pose[mask]) and torch.equal(mixed[~mask], clip.video[~mask])


@pytest.mark.parametrize("guided", [True, False])
def test_without_a_trained_guider_the_pipeline_is_diffusers_vace_pipeline(guided):
    theirs: Any = WanVACETransformer3DModel(**ARCHITECTURE)
    draw(theirs)
    ours = VideoTransformer(**ARCHITECTURE).eval()
    ours.load_state_dict(theirs.state_dict())
    if guided:
        ours.add_conditioning("guider")
    inputs = clip_inputs(9)
    mask = inputs["mask"].bool().expand(3, -1, -1, -1)
    mixed = torch.where(mask, inputs["pose"], inputs["video"])
    # One step, since diffusers' own grids of several steps end elsewhere.
    embeds: dict[str, Any] = {
        name: torch.randn(1, 8, 16) for name in ("prompt_embeds", "negative_prompt_embeds")
    }
    stock = WanVACEPipeline(
        None,  # type: ignore[reportArgumentType]
        None,  # type: ignore[reportArgumentType]
        tiny_autoencoder(),
        FlowMatchEulerDiscreteScheduler(shift=5.0),
        theirs.eval(),
    )
    stock.set_progress_bar_config(disable=True)
    expected = stock(
        video=pictures(mixed),  # type: ignore[reportArgumentType]
        mask=pictures(inputs["mask"]),  # type: ignore[reportArgumentType]
        reference_images=inputs["garment"],
        height=16,
        width=24,
        num_frames=9,
        num_inference_steps=1,
        guidance_scale=3.0,
        generator=seeded(),
        output_type="latent",
        **embeds,
    ).frames  # type: ignore[reportAttributeAccessIssue]
    if not guided:
        del inputs["hands"]
    actions = [(1, 4, "zip")] if guided else None
    found = pipeline_of(ours)(
        **inputs, actions=actions, num_inference_steps=1, generator=seeded(), output_type="latent", **embeds
    ).frames
    assert found.shape == (1, CHANNELS, 3, 4, 6)
    torch.testing.assert_close(found, expected[:, :, 1:].float(), rtol=0, atol=1e-4)


def test_an_autoencoder_of_other_channels_is_refused():
    with pytest.raises(ValueError, match=r"vace_in_channels=96.*24 channels \(or 20, encoded at once\)"):
        pipeline_of(tiny_tryon(vace_in_channels=96))
    assert pipeline_of(tiny_tryon(vace_in_channels=20))

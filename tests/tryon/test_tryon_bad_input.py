"""What a user may get wrong in a call, and what is said about it."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tryon_model import ACTIONS, ARCHITECTURE, clip_inputs, pictures, pipeline_of, seeded

from vision.transformer import VideoTransformer
from vision.tryon.clip import make_clip
from vision.tryon.pixels import garment_pixels

INPUTS = clip_inputs(9)


def clip_with(**changes: Any) -> Any:
    return make_clip(**{**INPUTS, "actions": None, **changes}, multiples=(8, 8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": torch.zeros(1, 9, 16, 24)}, "mask is empty.*white where the garment is made"),
        ({"mask": INPUTS["mask"][:, :5]}, "the mask has 5 frames of 16 x 24.*the video 9 of 16 x 24"),
        ({"pose": INPUTS["pose"][:, :, :8]}, "the pose has 9 frames of 8 x 24"),
        ({"hands": INPUTS["hands"][..., :16]}, "the hands has 9 frames of 16 x 16"),
        ({"video": []}, "the video has no frames"),
        (
            {"video": [Image.new("RGB", (24, 16)), Image.new("RGB", (16, 16))]},
            "several sizes, 16 x 16, 16 x 24",
        ),
        ({"video": INPUTS["video"][0]}, r"the video has shape \(9, 16, 24\); expected \(3, frames"),
        ({"video": INPUTS["video"].float()}, r"values in \[0, 255\]; expected uint8, or floats in \[-1, 1\]"),
        ({"pose": INPUTS["pose"].float() * float("nan")}, "the pose video is torch.float32"),
        ({"mask": torch.full((1, 9, 16, 24), 2.0)}, r"floats in \[0, 1\]"),
        (
            {"garment": torch.zeros(1, 3, 8, 8)},
            r"garment has shape \(1, 3, 8, 8\); expected \(3, height, width\)",
        ),
        ({"garment": torch.zeros(4, 16, 24)}, r"the garment has shape \(4, 1, 16, 24\)"),
        ({"actions": [(5, 3, "zip")]}, "ends before it begins"),
        ({"actions": [(0, 9, "zip")]}, "outside the clip"),
        ({"video": "person.mp4"}, "the video is of str; expected pictures of PIL, or a tensor"),
        ({"mask": Path("mask.mp4")}, "the mask is of PosixPath"),
        ({"pose": [np.zeros((16, 24, 3), np.uint8)] * 9}, "the pose video is of ndarray"),
        ({"garment": "garment.png"}, "the garment is str; expected a picture of PIL"),
    ],
)
def test_clips_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clip_with(**changes)


def test_a_size_that_patches_do_not_tile() -> None:
    small = clip_inputs(9, height=12)
    with pytest.raises(ValueError, match="height must be a multiple of 8, width of 8; scale and cut"):
        make_clip(**small, actions=None, multiples=(8, 8))


def test_frames_after_the_last_group_are_cut_off_with_the_actions_there() -> None:
    inputs, actions = clip_inputs(12), [(0, 10, "zip"), (11, 11, "hem")]
    with pytest.warns(
        UserWarning, match=r"the last 3 of 12 frames are cut off.*with them the actions \['hem'\]"
    ):
        clip = make_clip(**inputs, actions=actions, multiples=(8, 8))
    assert clip.num_frames == 9 and clip.actions == [(0, 8, "zip")] and clip.hands.shape[2] == 9


def test_a_full_mask_and_a_transparent_garment_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="the mask is full"):
        clip_with(mask=torch.ones(1, 9, 16, 24))
    garment = Image.new("RGBA", (8, 16), (255, 0, 0, 0))
    garment.paste((0, 0, 255, 255), (0, 0, 8, 8))
    with pytest.warns(UserWarning, match="shown as white"):
        pixels = garment_pixels(garment, 16, 24)
    assert pixels[0, :, 0, 12, 12].tolist() == [1, 1, 1]
    assert pixels[0, :, 0, 2, 12].tolist() == [-1, -1, 1]


def test_a_garment_is_shown_whole_on_white() -> None:
    for garment in (Image.new("RGB", (10, 20), "black"), torch.zeros(3, 20, 10, dtype=torch.uint8)):
        pixels = garment_pixels(garment, 16, 24)
        assert pixels.shape == (1, 3, 1, 16, 24)
        assert (pixels[..., 8:16] == -1).all() and (pixels[..., [*range(8), *range(16, 24)]] == 1).all()
    fitting = torch.rand(3, 16, 24) * 2 - 1
    assert torch.equal(garment_pixels(fitting, 16, 24)[0, :, 0], fitting)


def test_masks_of_all_kinds_are_the_same() -> None:
    expected, mask = clip_with().mask, INPUTS["mask"]
    for given in (mask // 255, mask.bool(), mask.float() / 255, mask[0], pictures(mask)):
        assert torch.equal(clip_with(mask=given).mask, expected)


def test_a_function_may_find_the_actions() -> None:
    seen: list[torch.Tensor] = []

    def labeller(pixels: torch.Tensor) -> list[dict[str, Any]]:
        seen.append(pixels)
        return [{"start": 1, "end": 4, "label": "zip"}]

    clip = clip_with(actions=labeller)
    assert clip.actions == [(1, 4, "zip")] and torch.equal(seen[0], clip.video[0])
    with pytest.raises(ValueError, match="outside the clip"):
        clip_with(actions=lambda pixels: [(0, pixels.shape[1], "zip")])


def test_calls_that_cannot_be() -> None:
    pipeline = pipeline_of()
    latents = torch.zeros(1, 4, 3, 4, 6)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"output_type": "gif"}, "output_type is 'gif'"),
        ({"latents": latents}, r"latents have shape \(1, 4, 3, 4, 6\), expected \(1, 4, 4, 4, 6\)"),
        ({"prompt_embeds": torch.zeros(1, 3, 9)}, r"expected \(1, tokens, 16\)"),
        ({"window_frames": 5, "window_overlap": 1, "output_type": "latent"}, "takes 2 windows"),
        ({"window_frames": 5}, "windows of 5 frames cannot share 5"),
        ({"caption_embeds": {"": torch.zeros(2, 9)}}, r"embedding of '' has shape \(2, 9\)"),
        (
            {"actions": [(0, 4, "zip " * 20)]},
            "has 22 tokens, the encoder takes 8; name the action in a few words",
        ),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            pipeline(**INPUTS, **options)


def test_a_model_without_a_guider_takes_neither_hands_nor_actions() -> None:
    pipeline = pipeline_of(VideoTransformer(**ARCHITECTURE).eval())
    bare = {name: value for name, value in INPUTS.items() if name != "hands"}
    with pytest.raises(ValueError, match=r"hands were given to a model .* without a guider"):
        pipeline(**INPUTS)
    with pytest.raises(ValueError, match=r"actions were given.*add_conditioning\('guider'\)"):
        pipeline(**bare, actions=ACTIONS[:1])
    assert pipeline(**bare, generator=seeded(), output_type="pt").frames.shape == (1, 9, 3, 16, 24)


def test_actions_that_overlap_are_split_and_said() -> None:
    with pytest.warns(UserWarning, match="overlap and are split"):
        clip = clip_with(actions=[(0, 4, "zip"), (2, 8, "hem")])
    assert clip.actions == [(0, 1, "zip"), (2, 4, "zip and hem"), (5, 8, "hem")]


def test_an_alpha_channel_without_transparency_is_no_news() -> None:
    opaque = Image.new("RGBA", (24, 16), (200, 30, 30, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clip = clip_with(garment=opaque)
    assert clip.garment[0, 0].unique().numel() == 1

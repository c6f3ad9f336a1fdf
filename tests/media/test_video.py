"""Videos through a file."""

import math
import struct
import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from vision.media import UnreadableVideoError, cut_to_groups, read_video, write_video
from vision.metrics import psnr


def moving(frames: int, height: int, width: int) -> torch.Tensor:
    """Smooth waves in [-1, 1], shape (3, F, H, W)."""
    f, y, x = torch.meshgrid(*(torch.arange(n) / 8 for n in (frames, height, width)), indexing="ij")
    return torch.stack([torch.sin(x + f), torch.cos(y + 2 * f), torch.sin(x + y)])


@pytest.mark.parametrize("size", [(32, 48), (33, 47)])
def test_round_trip(tmp_path: Path, size: tuple[int, int]) -> None:
    video = moving(9, *size)
    write_video(video, tmp_path / "waves.mp4", 24000 / 1001)
    found, rate = read_video(tmp_path / "waves.mp4")
    assert rate == pytest.approx(24000 / 1001)
    assert found.shape == (3, 9, *size)
    assert psnr(video[None], found[None] / 127.5 - 1).item() > 30
    assert len(list(tmp_path.iterdir())) == 1


def test_full_colour_keeps_colours_of_single_pixels(tmp_path: Path) -> None:
    columns = torch.arange(32) % 2
    pixels = torch.stack([columns, 1 - columns, columns]).float()[:, None, None].expand(3, 4, 32, 32) - 0.5
    kept = {}
    for full in (False, True):
        write_video(pixels, tmp_path / "v.mp4", 16, 4, full_colour=full)
        kept[full] = (read_video(tmp_path / "v.mp4")[0].float() / 127.5 - 1 - pixels).abs().mean().item()
    assert kept[True] < 0.03 < 0.2 < kept[False]


def test_grey_and_bytes_are_taken(tmp_path: Path) -> None:
    grey = (moving(3, 16, 16)[:1] * 127.5 + 127.5).round().to(torch.uint8)
    write_video(grey, tmp_path / "grey.mp4", 10)
    found, _ = read_video(tmp_path / "grey.mp4")
    assert (found.int() - grey.int()).abs().max() < 12


def test_equal_frames_give_equal_bytes(tmp_path: Path) -> None:
    """On processors with AVX-512 x264's default wrote these in several ways."""
    coarse = torch.rand(3, 17, 8, 12, generator=torch.Generator().manual_seed(0))
    pixels = F.interpolate(coarse, size=(72, 96), mode="bicubic") * 2 - 1
    contents = set()
    for _ in range(30):
        write_video(pixels, tmp_path / "v.mp4", 8)
        contents.add((tmp_path / "v.mp4").read_bytes())
    assert len(contents) == 1


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    write_video(moving(17, 64, 64), path, 8)
    whole = path.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(UnreadableVideoError, match=r"broken\.mp4"):
            read_video(path)
    with pytest.raises(UnreadableVideoError, match=r"none\.mp4"):
        read_video(tmp_path / "none.mp4")


def test_wrong_calls_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"written as \.mp4"):
        write_video(moving(1, 16, 16), tmp_path / "a.avi", 8)
    with pytest.raises(ValueError, match="found shape"):
        write_video(torch.zeros(2, 1, 16, 16), tmp_path / "a.mp4", 8)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("frames", "kept"), [(1, 1), (4, 1), (5, 5), (8, 5), (81, 81)])
def test_frames_are_cut_with_a_message(frames: int, kept: int) -> None:
    video = torch.zeros(3, frames, 2, 2)
    if frames == kept:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert cut_to_groups(video, "clip.mp4").shape[1] == kept
    else:
        with pytest.warns(UserWarning, match=rf"clip\.mp4: the last {frames - kept} of {frames} frames"):
            assert cut_to_groups(video, "clip.mp4").shape[1] == kept


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_the_cameras_rotation_is_applied(tmp_path: Path, quarters: int) -> None:
    """A phone writes frames as its sensor lies, and in the track's head how they were held."""
    pixels = torch.zeros(3, 5, 48, 96, dtype=torch.uint8)
    pixels[0, :, :24], pixels[1, :, :, :16] = 255, 255
    write_video(pixels, tmp_path / "a.mp4", 16, quality=0)
    plain, _ = read_video(tmp_path / "a.mp4")
    content = (tmp_path / "a.mp4").read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    cos, sin = (round(f(quarters * math.pi / 2)) << 16 for f in (math.cos, math.sin))
    turned = struct.pack(">9i", cos, sin, 0, -sin, cos, 0, 0, 0, 1 << 30)
    head = content.index(upright, content.index(b"tkhd"))
    (tmp_path / "b.mp4").write_bytes(content[:head] + turned + content[head + len(turned) :])
    found, _ = read_video(tmp_path / "b.mp4")
    # The matrix turns with the clock.
    assert torch.equal(found, plain.rot90(-quarters, (2, 3)))

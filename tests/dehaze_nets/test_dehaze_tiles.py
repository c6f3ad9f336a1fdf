"""Tiles: they cover a picture, add up to one and leave no seam; noise is one plane."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vision.dehaze.noise_field import NoiseField
from vision.dehaze.tiles import Tiles, blend


def blended(network, pixels: Tensor, tiles: Tiles) -> Tensor:
    height, width = pixels.shape[-2:]
    bands = blend(lambda x, top, left: network(x), lambda a, b: pixels[..., a:b, :], height, width, tiles)
    return torch.cat(list(bands), 2)


@given(
    length=st.integers(1, 400),
    overlap=st.sampled_from([4, 8, 16]),
    extra=st.integers(0, 40),
    multiple=st.sampled_from([1, 4, 8]),
)
def test_tiles_cover_a_side_and_count_as_one(length: int, overlap: int, extra: int, multiple: int):
    tiles = Tiles(2 * overlap + multiple + extra, overlap, multiple)
    spans, weights = tiles.spans(length), tiles.weights(length)
    total = torch.zeros(length)
    for (start, stop), weight in zip(spans, weights, strict=True):
        assert start % multiple == 0 and 0 <= start < stop <= length
        total[start:stop] += weight
        # Near an inner edge a tile counts nothing: there its result depends on what it does not see.
        quarter = overlap // 4
        assert start == 0 or not weight[:quarter].any()
        assert stop == length or not weight[-quarter:].any()
    torch.testing.assert_close(total, torch.ones(length))


@torch.no_grad()
@pytest.mark.parametrize("size", [(70, 33), (20, 100), (64, 64), (131, 97), (1, 1)])
def test_a_network_that_sees_little_gives_what_it_gives_untiled(size: tuple[int, int]):
    # Two 3 x 3 at full and one at half size see no more than four pixels to each side.
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Tanh(),
        nn.Upsample(scale_factor=2),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 3, 3, padding=1),
    ).eval()
    pixels = torch.rand(2, 3, *size)
    tiled = blended(network, pixels, Tiles(40, 16, 4))
    torch.testing.assert_close(tiled, network(pixels), rtol=0, atol=2e-6)


@torch.no_grad()
def test_seams_of_a_network_that_sees_everything_are_smooth():
    """Each tile gets an offset of its own; no step between neighbouring pixels is larger than the ramp's."""
    offsets = iter(torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0]))
    tiles = Tiles(64, 32)
    pixels = torch.zeros(1, 3, 96 + 32, 96 + 32)
    result = blended(lambda x: x + next(offsets), pixels, tiles)
    assert result.min() == 0 and result.max() == 1
    slope = 1 / (tiles.overlap / 2)
    for dim in (2, 3):
        assert result.diff(dim=dim).abs().max() <= slope + 1e-6


def test_only_one_row_of_tiles_is_read_at_a_time():
    asked = []

    def rows(top: int, bottom: int) -> Tensor:
        asked.append((top, bottom))
        return torch.zeros(1, 3, bottom - top, 50)

    heights = [band.shape[2] for band in blend(lambda x, top, left: x, rows, 1000, 50, Tiles(64, 16))]
    assert sum(heights) == 1000 and max(heights) <= 64
    assert max(bottom - top for top, bottom in asked) <= 64 and len(asked) == len(heights)


@pytest.mark.parametrize("size, overlap, multiple", [(64, 6, 1), (64, 0, 1), (60, 32, 1), (64, 32, 48)])
def test_tiles_that_cannot_be_blended_are_refused(size: int, overlap: int, multiple: int):
    with pytest.raises(ValueError, match="tiles of"):
        Tiles(size, overlap, multiple)


@given(
    top=st.integers(0, 150), left=st.integers(0, 150), height=st.integers(1, 100), width=st.integers(1, 100)
)
def test_noise_is_one_plane(top: int, left: int, height: int, width: int):
    field = NoiseField(7, 2)
    whole = field.rectangle(0, 0, 256, 256)
    part = field.rectangle(top, left, height, width)
    assert torch.equal(part, whole[:, top : top + height, left : left + width])


def test_noise_is_normal_and_of_its_seed():
    noise = NoiseField(3, 4).rectangle(0, 0, 192, 192)
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    # Blocks are no copies of each other, nor are fields of other seeds.
    assert not torch.equal(noise[:, :64, :64], noise[:, 64:128, :64])
    assert not torch.equal(noise[:, :64, :64], noise[:, :64, 64:128])
    assert not torch.equal(noise, NoiseField(4, 4).rectangle(0, 0, 192, 192))

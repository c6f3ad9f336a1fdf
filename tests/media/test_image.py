"""Pictures: what comes out of the many kinds of files, and what is said of damaged ones."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vision.media import (
    UnreadableImageError,
    decode_image,
    image_size,
    read_image,
    resize_and_crop,
    to_image,
    to_tensor,
    write_image,
)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip_through_a_file(tmp_path: Path, channels: int) -> None:
    pixels = torch.from_numpy(noise(channels, 5, 7))
    path = tmp_path / "new" / "picture.png"
    write_image(to_image(pixels), path)
    assert torch.equal(to_tensor(read_image(path, channels)), pixels)
    assert [p.name for p in path.parent.iterdir()] == ["picture.png"]


@given(values=st.lists(st.integers(0, 255), min_size=1, max_size=20))
@settings(max_examples=20, deadline=None)
def test_bytes_survive_the_range_of_networks(values: list[int]) -> None:
    pixels = torch.tensor(values, dtype=torch.uint8)[None, None]
    assert torch.equal(to_tensor(to_image(pixels.float() / 127.5 - 1)), pixels)


def test_floats_outside_are_clamped() -> None:
    image = to_image(torch.tensor([-3.0, 0.0, 3.0])[None, None])
    assert to_tensor(image).flatten().tolist() == [0, 128, 255]


def test_the_cameras_rotation_is_applied() -> None:
    upright = Image.fromarray(noise(4, 6, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    found = decode_image(encoded(turned, exif=exif), "turned")
    assert (np.asarray(found) == np.asarray(upright)).all()
    assert image_size(encoded(turned, exif=exif), "turned") == (4, 6)
    assert image_size(encoded(turned), "not turned") == (6, 4)
    with pytest.raises(UnreadableImageError, match="text"):
        image_size(b"no picture", "text")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_over_white(mode: str) -> None:
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = 0, 0, 0, 255
    rgba[1, 1] = 0, 0, 0, 51
    found = np.asarray(decode_image(encoded(Image.fromarray(rgba).convert(mode)), "layer"))
    assert found[0, 0].tolist() == [0, 0, 0]
    assert found[0, 1].tolist() == [255, 255, 255]
    if mode != "P":  # a palette has no half transparency here
        assert found[1, 1].tolist() == [204, 204, 204]


def test_16_bits_are_rounded_to_8() -> None:
    values = np.array([[0, 128, 129, 257 * 7 + 100, 65535]], np.uint16)
    found = decode_image(encoded(Image.fromarray(values)), "deep", channels=1)
    assert np.asarray(found).tolist() == [[0, 0, 1, 7, 255]]


def test_numbers_without_a_white_are_an_error() -> None:
    with pytest.raises(UnreadableImageError, match=r"heights\.tiff.*8 or 16 bits"):
        decode_image(encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), "heights.tiff")


def test_grey_and_colour_convert() -> None:
    grey = Image.fromarray(noise(3, 3))
    assert (np.asarray(decode_image(encoded(grey), "g")) == np.asarray(grey)[..., None]).all()
    colour = Image.fromarray(noise(3, 3, 3))
    assert np.asarray(decode_image(encoded(colour), "c", 1)).shape == (3, 3)
    assert decode_image(encoded(colour.convert("CMYK"), "TIFF"), "k").mode == "RGB"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_damaged_files_are_named(tmp_path: Path, kind: str) -> None:
    whole = encoded(Image.fromarray(noise(40, 40, 3)), kind)
    path = tmp_path / "broken.picture"
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:20]):
        path.write_bytes(content)
        with pytest.raises(UnreadableImageError, match=r"broken\.picture"):
            read_image(path)


def test_missing_files_and_unknown_endings_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match=r"none\.png: No such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ValueError, match=r"unknown kind of picture '\.xyz'"):
        write_image(Image.new("L", (2, 2)), tmp_path / "a.xyz")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    write_image(Image.new("L", (2, 2)), path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="RGBA"):
        write_image(Image.new("RGBA", (2, 2)), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    to=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
@settings(max_examples=60, deadline=None)
def test_a_flat_picture_stays_flat_at_any_size(size: tuple[int, int], to: tuple[int, int]) -> None:
    found = resize_and_crop(Image.new("L", size, 77), *to)
    assert found.size == (to[1], to[0])
    assert set(np.asarray(found).ravel().tolist()) == {77}


def test_the_centre_is_cut_and_the_aspect_kept() -> None:
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (10, 0, 30, 20))
    found = np.asarray(resize_and_crop(image, 20, 20))
    assert (found == [0, 0, 255]).all()
    same = Image.fromarray(noise(9, 7, 3))
    assert (np.asarray(resize_and_crop(same, 9, 7)) == np.asarray(same)).all()

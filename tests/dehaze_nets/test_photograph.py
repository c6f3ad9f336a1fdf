"""Photographs are written as they were read: depth, transparency, camera data, profile, upright."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import ExifTags, Image, ImageCms
from tiny_dehazers import picture

from vision.media import UnreadableImageError, UnreadableVideoError, read_image, read_video, write_video
from vision.media.photograph import read_photograph
from vision.media.rewrite import rewrite_video

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def camera(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber] = 2.8
    return exif


def again(path: Path) -> Path:
    """Reads a photograph, copies its pixels band by band through floats, and writes it."""
    photograph = read_photograph(path)
    copy, height = photograph.blank(), photograph.color.shape[0]
    for top in range(0, height, 10):
        copy.write_rows(top, photograph.rows(top, min(top + 10, height)))
    np.testing.assert_array_equal(copy.color, photograph.color)
    target = path.with_name(f"again{path.suffix}")
    copy.save(target)
    return target


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp", ".jpg"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_pictures_of_eight_bits(tmp_path: Path, suffix: str, mode: str):
    unknown = {".jpg": ("RGBA", "LA", "P", "1"), ".bmp": ("LA",)}.get(suffix, ())
    mode = "RGB" if mode in unknown else mode
    image = picture().convert(mode)
    if mode.endswith("A"):
        image.putalpha(picture(1).convert("L"))
    path = tmp_path / f"a{suffix}"
    options: dict = {"lossless": True} if suffix == ".webp" else {}
    image.save(path, **options)
    with Image.open(path) as before, Image.open(again(path)) as after:
        assert after.format == before.format and after.size == before.size
        expected = np.asarray(before.convert("RGBA"), float)
        lost = np.abs(np.asarray(after.convert("RGBA"), float) - expected)
        assert lost.max() == 0 or (suffix == ".jpg" and lost.mean() < 2)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_of_sixteen_bits(tmp_path: Path, suffix: str, channels: int):
    pixels = np.random.default_rng(0).integers(0, 65536, (21, 17, channels), dtype=np.uint16)
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), pixels)
    found = cv2.imread(str(again(path)), cv2.IMREAD_UNCHANGED)
    assert found is not None and found.dtype == np.uint16
    np.testing.assert_array_equal(found.reshape(pixels.shape), pixels)


def test_a_deep_png_keeps_profile_and_camera_data(tmp_path: Path):
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    cv2.imwrite(str(path), pixels)
    content = path.read_bytes()
    for kind, data in ((b"eXIf", camera(6).tobytes()[6:]), (b"iCCP", b"x\0\0" + zlib.compress(PROFILE))):
        chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        content = content[:33] + chunk + content[33:]
    path.write_bytes(content)
    target = again(path)
    with Image.open(target) as after:
        assert after.info["icc_profile"] == PROFILE
        assert after.getexif()[ExifTags.Base.Make] == "Camera"
        assert ExifTags.Base.Orientation not in after.getexif()
    turned = cv2.imread(str(target), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    np.testing.assert_array_equal(turned, np.rot90(pixels, -1))


def test_a_deep_tiff_keeps_its_profile_and_says_what_it_loses(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", iccprofile=PROFILE)
    with Image.open(again(tmp_path / "a.tif")) as after:
        assert after.info["icc_profile"] == PROFILE
    tags = [(271, "s", 7, "Camera", True)]
    tifffile.imwrite(tmp_path / "b.tif", pixels, photometric="rgb", extratags=tags)
    with pytest.warns(UserWarning, match=r"b\.tif: camera data is not kept"):
        read_photograph(tmp_path / "b.tif")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_camera_data_and_profile_are_kept(tmp_path: Path, suffix: str):
    path = tmp_path / f"a{suffix}"
    picture().save(path, exif=camera().tobytes(), icc_profile=PROFILE)
    with Image.open(again(path)) as after:
        assert after.info["icc_profile"] == PROFILE
        assert after.getexif()[ExifTags.Base.Make] == "Camera"
        assert after.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber] == pytest.approx(2.8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_rotation_is_applied_as_pillow_does(tmp_path: Path, orientation: int):
    from PIL import ImageOps

    path = tmp_path / "a.png"
    picture().save(path, exif=camera(orientation))
    with Image.open(path) as before, Image.open(again(path)) as after:
        assert after.getexif().get(ExifTags.Base.Orientation, 1) == 1
        np.testing.assert_array_equal(np.asarray(after), np.asarray(ImageOps.exif_transpose(before)))


def test_a_jpeg_is_compressed_as_it_was(tmp_path: Path):
    path = tmp_path / "a.jpg"
    picture().save(path, quality=40, subsampling=2)
    with Image.open(path) as before, Image.open(again(path)) as after:
        assert after.quantization == before.quantization  # pyright: ignore


def test_the_first_picture_of_a_cameras_mpo_is_a_jpeg(tmp_path: Path):
    path = tmp_path / "a.jpg"
    first, preview = picture(), picture().resize((8, 8))
    first.save(path, "MPO", save_all=True, append_images=[preview], exif=camera(6), quality=60)
    with Image.open(path) as image:
        assert (image.format, image.n_frames) == ("MPO", 2)  # pyright: ignore[reportAttributeAccessIssue]
        expected = np.rot90(np.asarray(image), -1)
    with pytest.warns(UserWarning, match=r"of its 2 pictures \(MPO\) the first is kept"):
        photograph = read_photograph(path)
    np.testing.assert_array_equal(photograph.color, expected)
    photograph.save(tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as after:
        assert after.format == "JPEG" and after.getexif()[ExifTags.Base.Make] == "Camera"


def test_a_picture_above_pillows_limit_is_not_called_damaged(tmp_path: Path, monkeypatch):
    picture().save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    for read in (read_photograph, read_image):
        with pytest.raises(UnreadableImageError, match=r"exceeds limit of 40 pixels.*Cut it into parts"):
            read(tmp_path / "a.png")


def test_what_cannot_be_written_again_is_named(tmp_path: Path):
    picture().save(tmp_path / "a.gif")
    with pytest.raises(UnreadableImageError, match=r"a\.gif is a GIF"):
        read_photograph(tmp_path / "a.gif")
    picture().save(tmp_path / "pages.tif", save_all=True, append_images=[picture(1)])
    with pytest.raises(UnreadableImageError, match="has 2 pages"):
        read_photograph(tmp_path / "pages.tif")
    picture().save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-200])
    with pytest.raises(UnreadableImageError, match=r"cut\.jpg: not a whole picture"):
        read_photograph(tmp_path / "cut.jpg")
    picture().convert("CMYK").save(tmp_path / "print.jpg", icc_profile=PROFILE)
    with pytest.warns(UserWarning, match="CMYK becomes RGB"):
        assert read_photograph(tmp_path / "print.jpg").color.shape[2] == 3


def test_a_small_copy_is_the_mean(tmp_path: Path):
    picture(width=64, height=32).save(tmp_path / "a.png")
    photograph = read_photograph(tmp_path / "a.png")
    small, whole = photograph.reduced(16), photograph.rows(0, 32)
    expected = torch.nn.functional.avg_pool2d(whole, 4)
    assert small.shape == (1, 3, 8, 16)
    torch.testing.assert_close(small, expected, rtol=0, atol=0.003)


def test_a_video_is_rewritten_frame_by_frame(tmp_path: Path):
    pixels = torch.stack([torch.full((3, 32, 48), 20 * number, dtype=torch.uint8) for number in range(9)], 1)
    write_video(pixels, tmp_path / "a.mp4", 12.5)
    seen = []

    def change(frame: torch.Tensor) -> torch.Tensor:
        seen.append(frame.float().mean().item())
        return 255 - frame

    assert rewrite_video(tmp_path / "a.mp4", tmp_path / "b.mp4", change) == 9
    assert seen == sorted(seen) and len(seen) == 9
    found, rate = read_video(tmp_path / "b.mp4")
    before, _ = read_video(tmp_path / "a.mp4")
    assert rate == 12.5 and found.shape == before.shape
    assert (found.float() - (255 - before.float())).abs().mean() < 3
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:900])
    with pytest.raises(UnreadableVideoError, match=r"cut\.mp4"):
        rewrite_video(tmp_path / "cut.mp4", tmp_path / "c.mp4", change)
    assert not (tmp_path / "c.mp4").exists()

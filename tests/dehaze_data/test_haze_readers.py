"""Pictures and pairs from folders, of every kind and size that users have."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vision.dehaze.crops import random_crop
from vision.dehaze.haze_pairs import HazePairs
from vision.dehaze.picture_files import find_pictures, find_pictures_and_videos, read_each, read_pixels


def save(path: Path, values: np.ndarray | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if values is None:
        values = np.random.default_rng(len(path.name)).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    Image.fromarray(values).save(path, **options)
    return path


def test_every_kind_of_picture_is_three_channels_upright(tmp_path: Path):
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    colour = np.stack([grey, 255 - grey, grey // 2], -1)
    alpha = np.concatenate([colour, np.full((4, 6, 1), 255, np.uint8)], -1)
    alpha[0, 0, 3] = 0
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned a quarter clockwise
    found = {
        name: (255 * read_pixels(save(tmp_path / name, values, **options))).round().to(torch.uint8)
        for name, values, options in (
            ("rgb.png", colour, {}),
            ("grey.png", grey, {}),
            ("deep.png", grey.astype(np.uint16) * 257, {}),
            ("rgba.png", alpha, {}),
            ("turned.png", colour, {"exif": turned}),
        )
    }
    expected = torch.from_numpy(colour).permute(2, 0, 1)
    assert torch.equal(found["rgb.png"], expected)
    assert torch.equal(found["grey.png"], torch.from_numpy(grey).expand(3, 4, 6))
    assert torch.equal(found["deep.png"], found["grey.png"])
    assert found["rgba.png"][:, 0, 0].tolist() == [255, 255, 255]
    assert torch.equal(found["rgba.png"][:, 1:], expected[:, 1:])
    assert torch.equal(found["turned.png"], torch.rot90(expected, -1, (1, 2)))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (7, 3)])
def test_any_size_is_read(tmp_path: Path, size: tuple[int, int]):
    values = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    pixels = read_pixels(save(tmp_path / "a.png", values))
    assert torch.equal((pixels * 255).round().byte(), torch.from_numpy(values).permute(2, 0, 1))


def test_a_flat_folder_is_read_and_damaged_files_are_named(tmp_path: Path):
    for name in ("b.png", "a.JPG", "c.jpeg", "sub/d.png"):
        save(tmp_path / name)
    whole = save(tmp_path / "e.jpg").read_bytes()
    (tmp_path / "e.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "f.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("passed over")
    (tmp_path / "g.mp4").write_bytes(b"")
    paths = find_pictures(tmp_path)
    assert [p.name for p in paths] == ["a.JPG", "b.png", "c.jpeg", "e.jpg", "f.png"]
    bad: list[str] = []
    assert [path.name for path, _ in read_each(paths, bad)] == ["a.JPG", "b.png", "c.jpeg"]
    assert len(bad) == 2 and "e.jpg" in bad[0] and "f.png" in bad[1]
    assert find_pictures(tmp_path / "b.png") == [tmp_path / "b.png"]
    (tmp_path / "h.pdf").write_bytes(b"%PDF-1.4")  # which Pillow writes and does not read
    pictures, videos = find_pictures_and_videos(tmp_path)
    assert pictures == find_pictures(tmp_path) == paths and [p.name for p in videos] == ["g.mp4"]


def test_folders_without_pictures_are_named(tmp_path: Path):
    (tmp_path / "notes.txt").touch()
    for place, message in (
        (tmp_path, "holds no pictures"),
        (tmp_path / "none", "does not exist"),
        (tmp_path / "notes.txt", "another kind"),
    ):
        with pytest.raises(ValueError, match=message):
            find_pictures(place)


def test_pairs_are_found_by_the_name_before_the_first_underscore(tmp_path: Path):
    for name in ("0001_1_0.9.png", "0001_2_0.8.jpg", "0002.png", "0003_1.png", "with_line_1.png"):
        save(tmp_path / "hazy" / name)
    for name in ("0001.png", "0002.png", "with_line_1.jpg", "with.png"):
        save(tmp_path / "clear" / name)
    pairs = HazePairs(tmp_path)
    assert [(p.hazy.name, p.clear.name) for p in pairs.pairs] == [
        ("0001_1_0.9.png", "0001.png"),
        ("0001_2_0.8.jpg", "0001.png"),
        ("0002.png", "0002.png"),
        ("with_line_1.png", "with_line_1.jpg"),
    ]
    assert len(pairs) == 4 and len(pairs.bad) == 1 and "0003_1.png" in pairs.bad[0]
    hazy, clear = pairs.read(0)
    assert hazy.shape == clear.shape == (3, 12, 10) and 0 <= hazy.min() <= hazy.max() <= 1


def test_damaged_pairs_are_left_out_and_the_border_of_sots_is_cut(tmp_path: Path):
    picture = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    for number in range(4):
        save(tmp_path / "hazy" / f"{number}_1.png", picture)
        save(tmp_path / "gt" / f"{number}.png", picture)
    (tmp_path / "hazy" / "1_1.png").write_bytes(b"damaged")
    save(tmp_path / "gt" / "2.png", picture[:9])
    save(tmp_path / "gt" / "3.png", np.pad(picture, ((5, 5), (5, 5), (0, 0))))
    pairs = HazePairs(tmp_path)
    read = {files.hazy.name: (hazy, clear) for files, hazy, clear in pairs.each()}
    assert list(read) == ["0_1.png", "3_1.png"]
    assert all(torch.equal(*pair) for pair in read.values())
    assert len(pairs.bad) == 2 and "1_1.png" in pairs.bad[0] and "one size" in pairs.bad[1]


def test_folders_without_pairs_are_named(tmp_path: Path):
    with pytest.raises(ValueError, match="expected the folders hazy and clear"):
        HazePairs(tmp_path)
    save(tmp_path / "train" / "hazy" / "1_1.png")
    with pytest.raises(ValueError, match=f"give {tmp_path / 'train'}"):
        HazePairs(tmp_path)
    save(tmp_path / "train" / "clear" / "2.png")
    with pytest.raises(ValueError, match=r"none of 1 hazy .*1_1\.png"):
        HazePairs(tmp_path / "train")


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 12), st.integers(0, 99))
def test_crops_of_a_pair_show_the_same_place(height: int, width: int, size: int, seed: int):
    clear = torch.rand(3, height, width)
    cropped = random_crop([clear, 1 - clear[:1]], size, torch.Generator().manual_seed(seed))
    assert cropped[0].shape == (3, size, size) and cropped[1].shape == (1, size, size)
    assert torch.equal(1 - cropped[0][:1], cropped[1])
    assert torch.isin(cropped[0], clear).all()
    upright = random_crop([clear], max(height, width), torch.Generator().manual_seed(seed), turn=False)[0]
    assert torch.equal(upright[:, :height, :width], clear)


def test_crops_need_one_size():
    with pytest.raises(ValueError, match="one size"):
        random_crop([torch.rand(3, 4, 4), torch.rand(3, 4, 5)], 2, torch.Generator())

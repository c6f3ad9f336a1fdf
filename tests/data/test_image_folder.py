"""Folders and lists of captioned pictures, and the latents made of them."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from train.data.captioned_picture import PictureListing
from train.data.hub_dataset import read_hub_dataset
from train.data.image_folder import read_image_folder, read_image_list
from train.data.picture_latents import PictureLatents, prepare_latents
from vision.latents import LatentCache


def write_pictures(folder: Path, count: int, size: tuple[int, int] = (6, 4)) -> None:
    folder.mkdir(exist_ok=True)
    for i in range(count):
        Image.new("RGB", size, (i, 2 * i, 255 - i)).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"picture {i}\n")


def prepare(listing: PictureListing, cache: Path, max_bad_share: float = 0.3) -> PictureLatents:
    return prepare_latents(listing, LatentCache(cache, None), 3, lambda height, width: (4, 6), max_bad_share)


def captions(listing: PictureListing) -> list[str]:
    return [picture.caption for picture in listing.pictures]


def test_a_text_file_beside_each_picture(tmp_path: Path) -> None:
    write_pictures(tmp_path / "a", 3)
    write_pictures(tmp_path / "a" / "deeper", 1)
    listing = read_image_folder(tmp_path / "a")
    assert captions(listing) == ["picture 0", "picture 1", "picture 2", "picture 0"]
    (tmp_path / "a" / "1.txt").unlink()
    (tmp_path / "a" / "2.txt").write_text("\n")
    listing = read_image_folder(tmp_path / "a")
    assert captions(listing) == ["picture 0", "picture 0"]
    assert len(listing.bad) == 2
    assert "1.txt: No such file" in listing.bad[0]
    assert "2.png: its caption is empty" in listing.bad[1]


def test_a_list_counts_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    write_pictures(tmp_path, 3)
    lines = [{"file_name": f"{i}.png", "text": f"listed {i}"} for i in (2, 0)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    with pytest.warns(UserWarning, match=r"leaves out 1 of 3 pictures, .*1\.png"):
        listing = read_image_folder(tmp_path)
    assert captions(listing) == ["listed 2", "listed 0"]
    assert captions(read_image_list(tmp_path / "metadata.jsonl")) == captions(listing)
    found = prepare(listing, tmp_path / "cache")
    pixels = found.rows.batch([0, 1])
    assert ((pixels[:, 0, 0, 0, 0] + 1) * 127.5).round().tolist() == [2, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b'{"file_name": "a.png", "text": "a"}\n{"file_name"', r"line 2 of .*list\.jsonl is not JSON"),
        (b'{"file_name": "a.png"}', 'line 1 .* needs texts "file_name" and "text"'),
        (b"[1]", 'line 1 .* needs texts "file_name" and "text"'),
        (b"\xff", "it is not UTF-8"),
    ],
)
def test_a_bad_list_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "list.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_image_list(tmp_path / "list.jsonl")


def test_no_pictures_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a folder of pictures"):
        read_image_folder(tmp_path / "none")
    with pytest.raises(ValueError, match="holds no pictures"):
        read_image_folder(tmp_path)
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_image_list(tmp_path / "none.jsonl")


def test_broken_pictures_are_left_out_by_name_and_counted(tmp_path: Path) -> None:
    write_pictures(tmp_path / "a", 10)
    whole = (tmp_path / "a" / "4.png").read_bytes()
    (tmp_path / "a" / "4.png").write_bytes(whole[:50])
    (tmp_path / "a" / "7.txt").unlink()
    listing = read_image_folder(tmp_path / "a")
    with pytest.warns(UserWarning, match=r"(?s)2 of 10 pictures .* left out:.*7\.txt.*4\.png"):
        found = prepare(listing, tmp_path / "cache")
    good = [i for i in range(10) if i not in (4, 7)]
    assert found.captions == [f"picture {i}" for i in good]
    pixels = found.rows.batch(range(8))
    assert pixels.shape == (8, 3, 1, 4, 6)
    assert ((pixels[:, 0, 0, 0, 0] + 1) * 127.5).round().tolist() == good
    with pytest.raises(ValueError, match=r"(?s)2 of 10 .*max_bad_share = 0\.1 .*7\.txt.*4\.png"):
        prepare(listing, tmp_path / "cache", max_bad_share=0.1)


def test_a_picture_that_vanished_is_a_bad_one(tmp_path: Path) -> None:
    write_pictures(tmp_path / "a", 4)
    listing = read_image_folder(tmp_path / "a")
    (tmp_path / "a" / "0.png").unlink()
    with pytest.warns(UserWarning, match=r"1 of 4 .*\n.*0\.png: No such file"):
        assert len(prepare(listing, tmp_path / "cache").captions) == 3


def test_a_changed_picture_gets_new_latents(tmp_path: Path) -> None:
    write_pictures(tmp_path / "a", 2)
    prepare(read_image_folder(tmp_path / "a"), tmp_path / "cache")
    files = set((tmp_path / "cache").rglob("*.safetensors"))
    Image.new("RGB", (6, 4), "white").save(tmp_path / "a" / "1.png")
    found = prepare(read_image_folder(tmp_path / "a"), tmp_path / "cache")
    assert found.rows.batch([1]).unique().tolist() == [1.0]
    assert len(set((tmp_path / "cache").rglob("*.safetensors")) - files) == 1


def make_dataset(count: int, **columns):
    datasets = pytest.importorskip("datasets")
    pixels = np.arange(count * 24, dtype=np.uint8).reshape(count, 4, 6)
    pictures = [Image.fromarray(value) for value in pixels]
    features = datasets.Features(
        {"image": datasets.Image(), **{name: kind for name, (_, kind) in columns.items()}}
    )
    values = {"image": pictures, **{name: value for name, (value, _) in columns.items()}}
    return datasets.Dataset.from_dict(values, features), pixels


def test_a_data_set_of_the_datasets_library(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    texts = ["a boot", " ", "a bag"]
    dataset, pixels = make_dataset(3, text=(texts, datasets.Value("string")))
    dataset.save_to_disk(tmp_path / "saved")
    listing = read_hub_dataset(str(tmp_path / "saved"))
    assert captions(listing) == ["a boot", "a bag"]
    assert len(listing.bad) == 1
    with pytest.warns(UserWarning, match=r"1 of 3 .*\n.*\[1\]: its caption is empty"):
        found = prepare_latents(listing, LatentCache(tmp_path / "c", None), 1, lambda h, w: (h, w), 0.5)
    expected = torch.from_numpy(pixels[[0, 2]]).float()[:, None, None] / 127.5 - 1
    assert torch.equal(found.rows.batch([0, 1]), expected)


def test_labels_of_a_data_set_become_captions(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    kind = datasets.ClassLabel(names=["boot", "bag"])
    make_dataset(3, label=([1, 0, 1], kind))[0].save_to_disk(tmp_path / "named")
    assert captions(read_hub_dataset(str(tmp_path / "named"))) == ["bag", "boot", "bag"]
    own = read_hub_dataset(str(tmp_path / "named"), ["a boot", "a bag"])
    assert captions(own) == ["a bag", "a boot", "a bag"]
    both = make_dataset(2, label=([1, 0], kind), text=(["x", "y"], datasets.Value("string")))[0]
    both.save_to_disk(tmp_path / "both")
    assert captions(read_hub_dataset(str(tmp_path / "both"))) == ["x", "y"]
    assert captions(read_hub_dataset(str(tmp_path / "both"), ["a boot", "a bag"])) == ["a bag", "a boot"]
    make_dataset(3, label=([1, 0, 2], datasets.Value("int64")))[0].save_to_disk(tmp_path / "numbers")
    with pytest.raises(ValueError, match="up to 2, and 2 class names"):
        read_hub_dataset(str(tmp_path / "numbers"), ["a boot", "a bag"])


def test_a_data_set_without_the_columns_is_an_error(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"x": [1]}).save_to_disk(tmp_path / "other")
    with pytest.raises(ValueError, match=r"has the columns \['x'\]"):
        read_hub_dataset(str(tmp_path / "other"))
    with pytest.raises(ValueError, match="cannot be loaded"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_hub_dataset(str(tmp_path / "none"))

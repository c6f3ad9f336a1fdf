"""IDX files: round trips, and errors that say what is wrong with which file."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from train.data.idx import read_idx, read_idx_pictures, write_idx


def write_pair(folder: Path, pixels: np.ndarray, labels: np.ndarray) -> tuple[Path, Path]:
    write_idx(folder / "images.gz", pixels)
    write_idx(folder / "labels", labels)
    return folder / "images.gz", folder / "labels"


@given(
    array=st.sampled_from([np.uint8, np.int8, np.int16, np.int32, np.float32, np.float64]).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(max_dims=4, max_side=5))
    ),
    suffix=st.sampled_from(["", ".gz"]),
)
@settings(max_examples=40, deadline=None)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, suffix: str) -> None:
    path = tmp_path_factory.mktemp("idx") / f"array{suffix}"
    write_idx(path, array)
    back = read_idx(path)
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()
    assert back.shape == array.shape


def test_the_bytes_are_those_of_the_format(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(b"\0\0\x08\x01\0\0\0\x03\x07\x00\xff")
    assert read_idx(path).tolist() == [7, 0, 255]
    write_idx(tmp_path / "again", read_idx(path))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_pictures_get_an_axis_of_channels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (5, 4, 6), np.uint8)
    labels = np.array([0, 1, 2, 1, 0], np.uint8)
    pictures = read_idx_pictures(*write_pair(tmp_path, grey, labels), 3)
    assert len(pictures) == 5
    assert (pictures.pixels[:, 0] == grey).all()
    assert pictures.pixels.shape == (5, 1, 4, 6)
    assert pictures.labels.tolist() == labels.tolist()
    colour = rng.integers(0, 256, (5, 4, 6, 3), np.uint8)
    pictures = read_idx_pictures(*write_pair(tmp_path, colour, labels), 3)
    assert (pictures.pixels.transpose(0, 2, 3, 1) == colour).all()


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_cut_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"images{suffix}"
    write_idx(path, np.arange(240, dtype=np.uint8).reshape(10, 4, 6))
    whole = path.read_bytes()
    for length in (0, 3, 6, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=path.name):
            read_idx(path)


def test_left_over_bytes_and_other_files_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "images"
    write_idx(path, np.zeros((2, 3), np.uint8))
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ValueError, match="left over"):
        read_idx(path)
    path.write_bytes(gzip.compress(b"hello, this is text"))
    with pytest.raises(ValueError, match="not an IDX file"):
        read_idx(path)


def test_files_that_do_not_belong_together_are_errors(tmp_path: Path) -> None:
    pixels = np.zeros((4, 2, 2), np.uint8)
    with pytest.raises(ValueError, match=r"4 pictures but .* 3 labels"):
        read_idx_pictures(*write_pair(tmp_path, pixels, np.zeros(3, np.uint8)), 3)
    with pytest.raises(ValueError, match="name every class"):
        read_idx_pictures(*write_pair(tmp_path, pixels, np.full(4, 3, np.uint8)), 3)
    images, labels = write_pair(tmp_path, pixels, np.zeros(4, np.uint8))
    with pytest.raises(ValueError, match="expected bytes of shape"):
        read_idx_pictures(labels, images, 3)

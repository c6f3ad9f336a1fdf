"""Cache files written by several processes at once, and on a full disk."""

import multiprocessing
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vision.latents.tensor_file import DamagedFileError, read_tensors, write_tensors


def write_many(path: Path, value: int) -> None:
    torch.set_num_threads(1)
    for _ in range(40):
        write_tensors(path, {"x": torch.full((2000,), value)}, {"value": str(value)})


def test_readers_never_see_a_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "shared.safetensors"
    write_tensors(path, {"x": torch.zeros(2000, dtype=torch.int64)}, {"value": "0"})
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(path, value)) for value in (1, 2)]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers) or not seen:
        tensors, metadata = read_tensors(path)
        assert tensors["x"].unique().tolist() == [int(metadata["value"])]
        seen.add(metadata["value"])
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert list(tmp_path.iterdir()) == [path]


def fill_the_disk(path: Path) -> None:
    # A limit on the size of files fails a write as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    try:
        write_tensors(path, {"x": torch.ones(100_000)}, {})
    except OSError as error:
        raise SystemExit(7 if path.name in str(error) else 8) from error


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    write_tensors(path, {"x": torch.ones(3)}, {})
    process = multiprocessing.get_context("fork").Process(target=fill_the_disk, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == 7
    assert read_tensors(path)[0]["x"].tolist() == [1, 1, 1]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.uint8, torch.int64, torch.bool, torch.float64])
def test_round_trip_keeps_types_and_shapes(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {
        "a": torch.ones(2, 0, 3, dtype=dtype),
        "b": torch.ones((), dtype=dtype),
        "c": torch.eye(4).to(dtype).T,
    }
    write_tensors(tmp_path / "x.safetensors", tensors, {"k": "v"})
    found, metadata = read_tensors(tmp_path / "x.safetensors")
    assert metadata == {"k": "v"}
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert found[name].dtype == dtype
        assert found[name].shape == value.shape
        assert torch.equal(found[name], value)


def test_a_file_of_another_program_is_damaged(tmp_path: Path) -> None:
    save_file({"x": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(DamagedFileError, match=r"x\.safetensors"):
        read_tensors(tmp_path / "x.safetensors")

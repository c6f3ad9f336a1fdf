"""Named tensors on disk: one safetensors file, or, sharded, a folder with one from each process.

Sharded tensors go through torch.distributed.checkpoint with its safetensors storage, so that a different
number of processes can read them; no pickle is written or read.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor

from vision.processes import process_state

#: Names, shapes and types of what a file holds.
Header = dict[str, tuple[torch.Size, torch.dtype]]


def sync(path: Path) -> None:
    """Waits until a file or a folder's list of names is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes ``<path>.safetensors`` from the main process, or the folder ``path`` from all where sharded.

    Every process calls it with the same names.
    """
    if any(isinstance(tensor, DTensor) for tensor in tensors.values()):
        writer = HuggingFaceStorageWriter(str(path), save_distributed=True)
        save(dict(tensors), storage_writer=writer)
    elif process_state().is_main_process:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_name(path.name + ".safetensors")
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, file)
        sync(file)


def read_tensors(path: Path, targets: Callable[[Header], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Reads what :func:`write_tensors` wrote.

    Args:
        path: as given to :func:`write_tensors`.
        targets: given names, shapes and types, returns the tensors to read into.

    Returns:
        The targets, filled.
    """
    if path.is_dir():
        reader = HuggingFaceStorageReader(str(path))
        header: Header = {}
        for name, entry in reader.read_metadata().state_dict_metadata.items():
            assert isinstance(entry, TensorStorageMetadata)
            header[name] = (entry.size, entry.properties.dtype)
        tensors = targets(header)
        load(dict(tensors), storage_reader=reader)
        return tensors
    with safe_open(path.with_name(path.name + ".safetensors"), framework="pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    tensors = targets({name: (value.shape, value.dtype) for name, value in stored.items()})
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(stored[name])
    return tensors

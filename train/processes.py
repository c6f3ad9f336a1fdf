"""What several processes of one run do together: speak once, and fail together."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate.utils import gather_object
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from tqdm import tqdm

from vision.processes import process_state


def say(message: str) -> None:
    """Prints a line to stderr, on the main process, without tearing the progress bar."""
    if process_state().is_main_process:
        tqdm.write(message, file=sys.stderr)


@contextmanager
def failing_together() -> Iterator[None]:
    """Raises on every process what one of them raised inside.

    Without it the others would wait for ever for the one that failed. Only for blocks in which no
    process waits for another one.

    Raises:
        the process's own error, or ValueError with the error of another process.
    """
    error: BaseException | None = None
    try:
        yield
    except (OSError, ValueError, SafetensorError, CheckpointException) as raised:
        error = raised
    if process_state().num_processes > 1:
        messages = gather_object([str(error) if error else ""])
        if error is None and any(messages):
            rank = next(rank for rank, message in enumerate(messages) if message)
            raise ValueError(f"process {rank} stopped: {messages[rank]}")
    if error is not None:
        raise error


def mean_over_processes(values: Tensor) -> Tensor:
    """Elementwise mean over the processes; a non-finite value of one is non-finite for all."""
    if process_state().num_processes > 1:
        values = values.clone()
        torch.distributed.all_reduce(values)
        values /= process_state().num_processes
    return values

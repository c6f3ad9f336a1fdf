"""What several processes of one run do together: speak once, and fail together."""

import atexit
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from accelerate import PartialState
from accelerate.utils import gather_object, parse_flag_from_env
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from tqdm import tqdm


@cache
def process_state() -> PartialState:
    """This process's place among those of the run; the first call joins them, its end leaves them.

    Other code must not make a ``PartialState`` first: by itself it takes launched processes on a machine
    without a GPU for strangers.
    """
    use_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    state = PartialState(cpu=use_cpu)
    leave_at_exit()
    return state


def leave_at_exit() -> None:
    """Has the process leave its group when it ends; otherwise gloo's threads abort it now and then."""
    if torch.distributed.is_initialized():
        atexit.register(_leave)


def _leave() -> None:
    # After an error others may never answer; the launcher ends them.
    if torch.distributed.is_initialized() and not hasattr(sys, "last_value"):
        torch.distributed.destroy_process_group()


def process_device() -> torch.device:
    """Where this process computes."""
    device = process_state().device
    assert device is not None
    return device


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

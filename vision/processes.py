"""The processes that a launcher started together: joined in one place, left in order."""

import atexit
import gc
import sys
from functools import cache

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env


@cache
def process_state(cpu: bool = False) -> PartialState:
    """This process's place among those of the program; the first call joins them, its end leaves them.

    Other code must not make a ``PartialState`` first: by itself it takes launched processes on a machine
    without a GPU for strangers.

    Args:
        cpu: stay on the CPU where there is a GPU. All calls of a program say the same.
    """
    use_cpu = cpu or parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    state = PartialState(cpu=use_cpu)
    leave_at_exit()
    return state


def leave_at_exit() -> None:
    """Has the process leave its group when it ends.

    Otherwise a thread of gloo's that still holds a tensor may free it while the interpreter goes down, which
    aborts the process. The threads end with the last reference to the group: DDP networks must be gone too.
    """
    if torch.distributed.is_initialized():
        atexit.register(leave)


def leave() -> None:
    """Ends this process's part in the group, unless an error is on its way."""
    # After an error others may never answer; the launcher ends them.
    if torch.distributed.is_initialized() and not hasattr(sys, "last_value"):
        gc.collect()
        torch.distributed.destroy_process_group()


def chosen_device(name: str | None) -> torch.device:
    """The device that a user names, None for this process's own.

    Raises:
        ValueError: there is no such device here.
    """
    if name is None:
        return process_device()
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        best = process_device().type
        raise ValueError(
            f"the device {name} cannot be used here ({str(error).splitlines()[0]}); the best there is: {best}"
        ) from error
    return torch.device(name)


def process_device() -> torch.device:
    """Where this process computes."""
    device = process_state().device
    assert device is not None
    return device

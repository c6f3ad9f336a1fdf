"""Runs a function in processes forked from one that has imported everything, so that each starts at once."""

import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tiny_distillation", "torch.distributed.checkpoint"])


def _start_server() -> None:
    # The server imports its preloads with the path of a fresh interpreter, not with this one's.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@dataclass(frozen=True)
class Outcome:
    """What became of one process: its exit code (minus the signal), what it returned, or how it failed."""

    exit_code: int | None
    returned: Any
    error: str


class Forked:
    """``function(*arguments, **keywords)`` in ``world_size`` processes joined by gloo."""

    def __init__(self, function: Callable, *arguments: Any, world_size: int = 1, **keywords: Any) -> None:
        _start_server()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._pipes, self.processes = [], []
        for rank in range(world_size):
            receiver, sender = _CONTEXT.Pipe(duplex=False)
            process = _CONTEXT.Process(
                target=_child, args=(sender, rank, world_size, port, function, arguments, keywords)
            )
            process.start()
            sender.close()
            self._pipes.append(receiver)
            self.processes.append(process)

    def outcomes(self, timeout: float = 120) -> list[Outcome]:
        """Waits for the processes."""
        outcomes = []
        for pipe, process in zip(self._pipes, self.processes, strict=True):
            # A killed process sends nothing, and its orphaned loader workers keep the pipe open for a while.
            while process.is_alive() and not pipe.poll(0.01):
                timeout -= 0.01
                assert timeout > 0, "the processes hang"
            try:
                returned, error = pipe.recv() if pipe.poll() else (None, "")
            except EOFError:
                returned, error = None, ""
            process.join(30)
            outcomes.append(Outcome(process.exitcode, returned, error))
        return outcomes


def run_forked(function: Callable, *arguments: Any, world_size: int = 1, **keywords: Any) -> Any:
    """What ``function`` returns on rank 0; fails if one of them failed."""
    outcomes = Forked(function, *arguments, world_size=world_size, **keywords).outcomes()
    failed = [
        f"process {i} ended with {o.exit_code}\n{o.error}" for i, o in enumerate(outcomes) if o.exit_code != 0
    ]
    assert not failed, "\n".join(failed)
    return outcomes[0].returned


def _child(
    sender: Any, rank: int, world_size: int, port: int, function: Callable, arguments: tuple, keywords: dict
) -> None:
    import torch

    torch.set_num_threads(1)
    # The way of starting is inherited; loader workers start faster from here.
    multiprocessing.set_start_method("fork", force=True)
    if world_size > 1:
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(world_size),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
        )
    os.environ["ACCELERATE_USE_CPU"] = "true"
    try:
        returned = function(*arguments, **keywords)
    except BaseException as error:
        sender.send((None, "".join(traceback.format_exception(error))))
        sender.close()
        # Not an exit by way of atexit: other processes of the group may wait for this one.
        os._exit(error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1)
    sender.send((returned, ""))
    sender.close()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

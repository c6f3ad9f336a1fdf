"""Processes that make the clips of a data set side by side."""

import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, TypeVar

Plan = TypeVar("Plan")


class Recorder(Protocol):
    """What makes clips in a process, one after the other."""

    def record(self, plan: Any, /) -> None:
        """Makes the clip of a plan, whole or not at all."""

    def close(self) -> None:
        """Ends what it started."""


def record_side_by_side(
    plans: Sequence[Plan], make_recorder: Callable[[], Recorder], workers: int
) -> Iterator[Plan]:
    """Records clips in ``workers`` processes and gives each plan when it is done.

    Closing the iterator, or the end of this process, ends the workers after the clip that they are at.

    Args:
        plans: in the order in which they are begun; can be pickled.
        make_recorder: called once in each process; can be pickled.
        workers: at least 1; no more are started than there are plans.

    Raises:
        RuntimeError: a worker ended by itself; what it printed says why.
        Exception: what recording a clip raised in a worker.
    """
    waiting = iter(plans)
    context = get_context("spawn")
    pipes: dict[Connection, int] = {}
    processes = []
    try:
        for number in range(min(workers, len(plans))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, make_recorder), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes[ours] = number
            ours.send(next(waiting))
        while pipes:
            for pipe in wait(list(pipes)):
                assert isinstance(pipe, Connection)
                try:
                    answer = pipe.recv()
                except EOFError:
                    raise RuntimeError(
                        f"recording process {pipes[pipe]} ended by itself; the clips already there are "
                        "whole, and the same command goes on"
                    ) from None
                if isinstance(answer, Exception):
                    raise answer
                plan = next(waiting, None)
                if plan is None:
                    del pipes[pipe]
                    pipe.close()
                else:
                    pipe.send(plan)
                yield answer
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join()


def _work(pipe: Connection, make_recorder: Callable[[], Recorder]) -> None:
    # Ctrl-C reaches every process of the terminal; the parent answers it by closing the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    recorder = make_recorder()
    try:
        while True:
            plan = pipe.recv()
            try:
                recorder.record(plan)
            except Exception as error:
                pipe.send(error)
            else:
                pipe.send(plan)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent has no more clips, or is gone
    finally:
        recorder.close()

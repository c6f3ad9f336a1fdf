"""SIGTERM and Ctrl-C let the running step finish, and the run save."""

import signal
import time
from types import FrameType

#: A launcher forwards a terminal's Ctrl-C that the process has had already: within this time they are one.
_SAME_REQUEST_SECONDS = 1.0


class RunInterrupted(SystemExit):
    """The run was asked to stop, has saved, and leaves with the exit status of the signal (128 + number)."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


class Interrupts:
    """Remembers, inside its block, that a signal asked the run to stop; a second Ctrl-C stops at once.

    Attributes:
        requested: number of the first signal received, 0 before.
    """

    def __init__(self) -> None:
        self.requested = 0
        self._since = 0.0

    def __enter__(self) -> "Interrupts":
        numbers = (signal.SIGTERM, signal.SIGINT)
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.requested, self._since = number, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._since > _SAME_REQUEST_SECONDS:
            raise KeyboardInterrupt

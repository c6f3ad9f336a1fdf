"""When the next chunk has to be begun."""

from collections import deque

# How many chunks tell how long one takes, and what is added for the way to the page, in shares of a chunk.
_REMEMBERED, _MARGIN = 12, 0.08
_LEAST_MARGIN = 0.008


class Pace:
    """Begins each chunk as late as it can be begun and still be there when the one before has been shown.

    The later it begins, the newer are the controls that it follows. It never begins before the chunk shown
    now is the last but one made, so the page is at most one chunk ahead of the eye, and nothing is made for
    a page that shows nothing. On a machine slower than real time chunks follow one another at once.

    Args:
        frame_rate: frames a second that the page shows.
    """

    def __init__(self, frame_rate: float) -> None:
        self._rate = frame_rate
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)
        self.restart()

    def restart(self) -> None:
        """Begins with chunk 0; how long chunks take is remembered."""
        self._made = 0
        self._painted = -1
        self._shown_until = 0.0
        self._length = 0.0

    def made(self, frames: int, seconds: float, now: float) -> None:
        """A chunk was sent.

        Args:
            frames: in it.
            seconds: that it took.
            now: seconds, of any clock that the other calls use too.
        """
        self._made += 1
        # That of one frame says nothing about those that follow.
        if frames > 1:
            self._seconds.append(seconds)
        self._length = frames / self._rate
        self._shown_until = max(self._shown_until, now) + self._length

    def painted(self, chunk: int, left: float, now: float) -> None:
        """The page began to show a chunk.

        Args:
            chunk: its number.
            left: seconds until the page has shown all that it has.
            now: seconds.
        """
        if chunk < self._made:
            self._painted = max(self._painted, chunk)
        if chunk == self._made - 1:  # else another one is on its way, of which the page does not know
            self._shown_until = now + left

    def start(self) -> float | None:
        """When to begin the next chunk; None while the page has to show others first."""
        if self._made == 0:
            return 0.0
        if self._painted < self._made - 2:
            return None
        if not self._seconds:
            return 0.0
        margin = max(_LEAST_MARGIN, _MARGIN * self._length)
        return self._shown_until - max(self._seconds) - margin

"""The world in a thread of its own, so that the server answers while it computes.

Legend: N rows.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from infer.playing.controls import WIDTH
from infer.playing.frame_format import frame_message
from infer.playing.messages import MistakeError, Reset
from infer.playing.recording import Recording
from vision.world.crossfps import METADATA_NAME, VIDEO_NAME
from vision.world.play_session import PlaySession
from vision.world.telemetry import TELEMETRY_NAMES

Value = TypeVar("Value")
#: What a recording's folder holds.
FILES = {"video": VIDEO_NAME, "actions": TELEMETRY_NAMES[0], "metadata": METADATA_NAME}


@dataclass(frozen=True)
class Made:
    """A chunk that was made.

    Attributes:
        frames: in it.
        message: for the page.
        is_recording_full: whether the recording has to end.
    """

    frames: int
    message: bytes
    is_recording_full: bool


class UnsavedError(Exception):
    """A recording that could not be saved; nothing is left of it."""


class ModelThread:
    """Plays a world in one thread, in the order in which it is asked to, and records.

    Args:
        session: the play.
        frame_rate: of recordings.
        out: folder of recordings.
        model: name of the model, for the metadata of recordings.

    Attributes:
        recordings: name and number of frames of each that was saved, in order.
    """

    def __init__(self, session: PlaySession, frame_rate: float, out: Path, model: str) -> None:
        self._session, self._frame_rate, self._out, self._model = session, frame_rate, out, model
        self._thread = ThreadPoolExecutor(1, "world")
        self._recording: Recording | None = None
        self.recordings: list[dict[str, Any]] = []
        self._settings: dict[str, Any] = {}
        self._forget()

    @property
    def rows_wanted(self) -> int:
        """How many rows the next chunk takes."""
        return self._session.rows_wanted

    async def call(self, work: Callable[[], Value]) -> Value:
        """The result of any work, done in the thread after what was asked for before."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def reset(self, picture: Any, name: str, wish: Reset) -> None:
        """Begins anew with a picture.

        Args:
            picture: see :meth:`PlaySession.reset`.
            name: of the picture.
            wish: seed and settings.
        """

        def work() -> None:
            self._session.reset(
                picture,
                seed=wish.seed,
                action_guidance_scale=wish.guidance,
                num_inference_steps=wish.steps,
            )
            self._settings = {
                "first_frame": name,
                "seed": wish.seed,
                "action_guidance_scale": wish.guidance,
                "steps": wish.steps,
            }
            self._forget()

        await self.call(work)

    async def advance(self, rows: np.ndarray, stamps: Sequence[float | None], facts: dict[str, Any]) -> Made:
        """Makes the next chunk.

        Args:
            rows: shape (N, 10).
            stamps: of the rows, which go to the page with the frames that they lead to.
            facts: more for the page.
        """

        def work() -> Made:
            start = time.perf_counter()
            frames = self._session.advance(rows)
            seconds = time.perf_counter() - start
            self._given = np.concatenate([self._given, rows])[-1:]
            self._rows_given += len(rows)
            self._last_frame = frames[-1].copy()
            is_full = False
            if self._recording is not None:
                self._recording.add(frames, rows)
                is_full = self._recording.is_full
            stamped = [*[None] * (len(frames) - len(stamps)), *stamps]
            head = {**facts, "stamps": stamped, "seconds": seconds, "memory": self._session.num_bytes}
            return Made(len(frames), frame_message(frames, head), is_full)

        return await self.call(work)

    async def begin_recording(self) -> None:
        """Records from the frame that was made last."""

        def work() -> None:
            if self._last_frame is None:
                raise MistakeError("there is nothing to record yet; begin with a first frame")
            if self._recording is not None:
                raise MistakeError("a recording is running already; end it first")
            # The first row of a play may be given before the frame that it leads to is made.
            ahead = self._rows_given - (self._session.frames_made - 1)
            self._recording = Recording(self._last_frame, self._given[len(self._given) - ahead :])

        await self.call(work)

    async def end_recording(self) -> dict[str, Any] | None:
        """Saves what was recorded; name and number of frames of the clip, or None where there is nothing.

        Raises:
            UnsavedError: the disk is full, say.
        """
        return await self.call(self._end_recording)

    async def leave(self) -> None:
        """Ends a play: its recording is saved, its world forgotten; raises as :meth:`end_recording`."""

        def work() -> None:
            self._forget()
            self._end_recording()

        await self.call(work)

    async def close(self) -> None:
        """Ends the thread when all that it was asked for is done."""
        await asyncio.to_thread(self._thread.shutdown)

    def _end_recording(self) -> dict[str, Any] | None:
        recording, self._recording = self._recording, None
        if recording is None:
            return None
        name = self._new_name()
        metadata = {
            **self._settings,
            "source": "infer.play",
            "model": self._model,
            "frame_rate": self._frame_rate,
            "forward_sign": -1,
        }
        try:
            frames = recording.save(self._out / name, self._frame_rate, metadata)
        except (OSError, ValueError) as error:
            raise UnsavedError(f"the recording could not be saved in {self._out}: {error}") from error
        if not frames:
            return None
        self.recordings.append({"name": name, "frames": frames})
        return self.recordings[-1]

    def _new_name(self) -> str:
        stem = f"{datetime.now().astimezone():play-%Y%m%d-%H%M%S}"
        names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 10000))
        return next(name for name in names if not (self._out / name).exists())

    def _forget(self) -> None:
        self._last_frame: np.ndarray | None = None
        self._given = np.zeros((0, WIDTH), np.float32)
        self._rows_given = 0

"""One page that is connected: it waits for its turn, plays, and leaves."""

import asyncio
import json
import logging
import time
from collections import deque
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from infer.playing.controls import Controls
from infer.playing.gallery import Gallery
from infer.playing.messages import Hold, Message, MistakeError, Painted, Record, Reset, parse
from infer.playing.model_thread import ModelThread, UnsavedError
from infer.playing.pace import Pace

_LOG = logging.getLogger("uvicorn.error")
#: A page sends one message a picture of its screen; what is beyond these is no page.
MAX_MESSAGES_A_SECOND, MAX_MISTAKES, MAX_COMMANDS = 1000, 20, 8
_POLICY_VIOLATION = 1008


class Connection:
    """Serves one page from its first message to its last.

    Args:
        socket: accepted.
        model: the world.
        gallery: its first frames.
        welcome: what the page is told when its turn comes.
        frame_rate: at which it is shown.
    """

    def __init__(
        self,
        socket: WebSocket,
        model: ModelThread,
        gallery: Gallery,
        welcome: dict[str, Any],
        frame_rate: float,
    ) -> None:
        self._socket, self._model, self._gallery, self._welcome = socket, model, gallery, welcome
        self._controls, self._pace = Controls(time.monotonic()), Pace(frame_rate)
        self._commands: deque[Reset | Record] = deque()
        self._changed = asyncio.Event()
        self._has_turn = False
        self._play = 0
        self._sent_away: str | None = None
        self._chunk: int | None = None  # of the next chunk; None while there is no world

    async def serve(self, turn: asyncio.Lock) -> None:
        """Until the page leaves or is sent away.

        Args:
            turn: held by the one who plays.
        """
        reading = asyncio.create_task(self._read())
        playing = asyncio.create_task(self._play_in_turn(turn))
        try:
            await asyncio.wait((reading, playing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            playing.cancel()
            outcomes = await asyncio.gather(reading, playing, return_exceptions=True)
        if self._sent_away is not None:
            await self._socket.close(_POLICY_VIOLATION, self._sent_away)
        for outcome in outcomes:
            left = isinstance(outcome, asyncio.CancelledError | WebSocketDisconnect)
            if isinstance(outcome, BaseException) and not left:
                raise outcome

    # ---------------------------------------------------------------- what the page says

    async def _read(self) -> None:
        second, messages, mistakes = time.monotonic(), 0, 0
        while True:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            now = time.monotonic()
            if now - second >= 1:
                second, messages = now, 0
            messages += 1
            if messages > MAX_MESSAGES_A_SECOND:
                await self._send_away(f"more than {MAX_MESSAGES_A_SECOND} messages came within a second")
                return
            try:
                if received.get("text") is None:
                    raise MistakeError("a binary message came, expected JSON text")
                self._take_in(parse(received["text"]), now)
            except MistakeError as mistake:
                mistakes += 1
                await self._say("error", message=str(mistake))
                if mistakes == MAX_MISTAKES:
                    await self._send_away(f"{MAX_MISTAKES} messages could not be used")
                    return

    def _take_in(self, message: Message, now: float) -> None:
        if not self._has_turn:
            raise MistakeError("it is not your turn yet; wait for the welcome")
        if isinstance(message, Hold):
            self._controls.hold(message.sticks, message.buttons, message.stamp, now)
        elif isinstance(message, Painted):
            if message.play == self._play:
                self._pace.painted(message.chunk, message.left / 1000, now)
                self._changed.set()
        elif len(self._commands) == MAX_COMMANDS:
            raise MistakeError(f"{MAX_COMMANDS} commands are waiting already; wait for their answers")
        else:
            self._commands.append(message)
            self._changed.set()

    # ---------------------------------------------------------------- the world

    async def _play_in_turn(self, turn: asyncio.Lock) -> None:
        if turn.locked():
            await self._say(
                "busy", message="Someone is playing this world. It is yours as soon as they leave; stay here."
            )
        async with turn:
            self._has_turn = True
            await self._say(
                "welcome",
                **self._welcome,
                first_frames=self._gallery.names(),
                recordings=self._model.recordings,
            )
            try:
                while True:
                    await self._step()
            finally:
                # Also for a page that is gone: its recording is kept.
                try:
                    await asyncio.shield(self._model.leave())
                except UnsavedError as error:
                    _LOG.error("%s", error)

    async def _step(self) -> None:
        """Obeys a command, makes a chunk, or waits until one of both is due."""
        try:
            if self._commands:
                await self._obey(self._commands.popleft())
                return
            start = None if self._chunk is None else self._pace.start()
            delay = None if start is None else start - time.monotonic()
            if delay is None or delay > 0:
                self._changed.clear()
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), delay)
                return
            await self._make_chunk()
        except MistakeError as mistake:
            await self._say("error", message=str(mistake))

    async def _obey(self, command: Reset | Record) -> None:
        if isinstance(command, Record):
            if command.on:
                await self._model.begin_recording()
                await self._say("recording")
            elif not await self._end_recording():
                await self._say("unrecorded", message="Nothing was recorded: no frame came since it began.")
            return
        first = self._gallery.get(command.frame)
        if first is None:
            raise MistakeError(f"there is no first frame {command.frame!r}; choose one that is shown")
        await self._end_recording()
        try:
            await self._model.reset(first.picture, first.name, command)
        except ValueError as error:
            raise MistakeError(str(error)) from error
        self._play, self._chunk = self._play + 1, 0
        self._pace.restart()
        self._controls.skip(time.monotonic())
        await self._say("began", play=self._play, **command.model_dump(exclude={"type"}))

    async def _make_chunk(self) -> None:
        now = time.monotonic()
        rows, stamps = self._controls.take(self._model.rows_wanted, now)
        if self._chunk == 0:  # what was held before the world began is no answer to what is seen
            stamps = []
        try:
            made = await self._model.advance(rows, stamps, {"play": self._play, "chunk": self._chunk})
        except Exception as error:
            # A world that failed is over; the next one may do.
            _LOG.exception("the model failed")
            self._chunk = None
            raise MistakeError(
                f"the world ended: {error}; begin anew, with other settings if need be"
            ) from error
        await self._socket.send_bytes(made.message)
        sent = time.monotonic()
        self._pace.made(made.frames, sent - now, sent)
        assert self._chunk is not None
        self._chunk += 1
        if made.is_recording_full:
            await self._end_recording()

    async def _end_recording(self) -> bool:
        """Saves and tells what was recorded; False where there was nothing."""
        try:
            recorded = await self._model.end_recording()
        except UnsavedError as error:
            await self._say("unrecorded", message=str(error))
            return True
        if recorded is not None:
            await self._say("recorded", **recorded)
        return recorded is not None

    # ---------------------------------------------------------------- what the page is told

    async def _say(self, kind: str, **facts: Any) -> None:
        await self._socket.send_text(json.dumps({"type": kind, **facts}))

    async def _send_away(self, reason: str) -> None:
        _LOG.warning("a client was sent away: %s", reason)
        await self._say("error", message=f"The connection is closed: {reason}.")
        self._sent_away = reason

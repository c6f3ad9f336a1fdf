"""A player without a page or a screen: shows frames at their rate and moves the controls now and then."""

import json
import random
import time
from collections import deque
from dataclasses import dataclass, field

from websockets.sync.client import connect

from benchmarks.resident_memory import resident_bytes
from infer.playing.frame_format import read_frame_message

# Seconds between two changes of the controls, on average.
_BETWEEN_INPUTS = 0.4


@dataclass
class Played:
    """What a client saw.

    Attributes:
        frames: shown.
        seconds: from the first of them to the end.
        costs: seconds that each chunk took the model, the first left out.
        memory: resident bytes of this process when each came.
        late: chunks that were not there when they were due.
        stalled: seconds without a frame to show.
        latencies: seconds from each change of the controls to the first frame that follows from it.
    """

    frames: int = 0
    seconds: float = 0.0
    costs: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    late: int = 0
    stalled: float = 0.0
    latencies: list[float] = field(default_factory=list)


def play(address: str, seconds: float, seed: int = 0) -> Played:
    """Plays a server's first first frame for so many seconds, in real time.

    Args:
        address: ``host:port``.
        seconds: how long.
        seed: of the controls.
    """
    chance = random.Random(seed)
    played, queue = Played(), deque[tuple[dict, int]]()
    with connect(f"ws://{address}/play", max_size=None) as socket:
        welcome = json.loads(socket.recv())
        period = 1 / welcome["frame_rate"]
        socket.send(json.dumps({"type": "reset", "frame": welcome["first_frames"][0]["id"]}))
        begin = due = 0.0
        next_input = time.monotonic()
        while not begin or time.monotonic() < begin + seconds:
            now = time.monotonic()
            while queue and due <= now:
                head, number = queue.popleft()
                due += period
                played.frames += 1
                if head["stamps"][number] is not None:
                    played.latencies.append(now - head["stamps"][number] / 1000)
                if number == 0:
                    left = 1000 * max(0.0, due - now + len(queue) * period)
                    painted = {"play": head["play"], "chunk": head["chunk"], "left": left}
                    socket.send(json.dumps({"type": "painted", **painted}))
            if now >= next_input:
                sticks = [round(chance.uniform(-1, 1), 3) for _ in range(4)]
                buttons = [int(chance.random() < 0.2) for _ in range(6)]
                held = {"stamp": 1000 * now, "sticks": sticks, "buttons": buttons}
                socket.send(json.dumps({"type": "hold", **held}))
                next_input = now + chance.expovariate(1 / _BETWEEN_INPUTS)
            wake = min(next_input, due) if queue else next_input
            try:
                received = socket.recv(timeout=max(0.0, wake - time.monotonic()))
            except TimeoutError:
                continue
            if isinstance(received, str):
                message = json.loads(received)
                if message["type"] == "error":
                    raise RuntimeError(message["message"])
                continue
            now = time.monotonic()
            head, frames = read_frame_message(received)
            begin = begin or now
            if not queue and now > due:
                # The first chunk is due at no time; the second is made while its few frames are shown.
                if head["chunk"] > 1:
                    played.late += 1
                    played.stalled += now - due
                due = now
            queue.extend((head, number) for number in range(len(frames)))
            if head["chunk"]:
                played.costs.append(head["seconds"])
                played.memory.append(resident_bytes())
        played.seconds = time.monotonic() - begin
    return played

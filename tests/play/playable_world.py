"""A tiny causal world, and a client without a page."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from tiny_world import CHANNELS, picture, tiny_world  # pyright: ignore[reportMissingImports]
from websockets.sync.client import ClientConnection, connect

from infer.play_options import PlayOptions
from infer.playing.frame_format import read_frame_message
from vision import WorldPipeline
from vision.latents import TinyVideoAutoencoder
from vision.world.play_session import PlaySession

#: Height and width, and frames a second.
SIZE, RATE = 16, 40.0
NEUTRAL = {"type": "hold", "stamp": 0, "sticks": [0, 0, 0, 0], "buttons": [0, 0, 0, 0, 0, 0]}


def playable_world(chunk: int = 1, window: int | None = 4, **options: Any) -> WorldPipeline:
    """Random weights; two steps a chunk."""
    transformer = tiny_world(num_layers=2)
    transformer.set_causal(chunk, window)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = TinyVideoAutoencoder(latent_channels=CHANNELS, widths=(8,), num_blocks=1).eval()
    settings = {
        "default_height": SIZE,
        "default_width": SIZE,
        "default_num_inference_steps": 2,
        "frame_rate": RATE,
        **options,
    }
    pipeline = WorldPipeline(transformer, FlowMatchEulerDiscreteScheduler(shift=5.0), vae, **settings)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def options_for(folder: Path, **changes: Any) -> PlayOptions:
    """A command line for two first frames and a folder of recordings."""
    frames = folder / "frames"
    frames.mkdir(exist_ok=True)
    for seed in range(2):
        picture(seed, (SIZE, SIZE)).save(frames / f"frame{seed}.png")
    given: dict[str, Any] = {
        "model": "tiny",
        "frames": [frames],
        "out": folder / "recordings",
        "host": "127.0.0.1",
        "port": 0,
        "dtype": None,
        "device": None,
    }
    return PlayOptions(**{**given, **changes})


class Client:
    """A player without a page: says what one says, and sees what one sees."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[np.ndarray] = []  # of this world, as they came

    def say(self, kind: str, **facts: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **facts}))

    def hold(self, stamp: float = 0, **changes: Any) -> None:
        self.socket.send(json.dumps({**NEUTRAL, "stamp": stamp, **changes}))

    def hear(self, kind: str) -> dict[str, Any]:
        """The next message of a kind; frames in between are seen, nothing else may come."""
        while True:
            received = self.socket.recv(timeout=30)
            if isinstance(received, str):
                message = json.loads(received)
                assert message["type"] == kind, message
                return message
            self._painted(received)

    def wait(self) -> dict[str, Any]:
        """What it is welcomed with; the player before may still be on the way out."""
        message = json.loads(self.socket.recv(timeout=30))
        return self.hear("welcome") if message["type"] == "busy" else message

    def see(self) -> tuple[dict[str, Any], np.ndarray]:
        """The next chunk, said to be painted."""
        received = self.socket.recv(timeout=30)
        assert isinstance(received, bytes), received
        return self._painted(received)

    def begin(self, frame: str = "file-0", **settings: Any) -> dict[str, Any]:
        self.say("reset", frame=frame, **settings)
        began = self.hear("began")
        self.frames.clear()
        return began

    def _painted(self, received: bytes) -> tuple[dict[str, Any], np.ndarray]:
        head, frames = read_frame_message(received)
        self.say("painted", play=head["play"], chunk=head["chunk"], left=1000 * len(frames) / RATE)
        self.frames += list(frames)
        return head, frames


@contextmanager
def connected(address: str, **options: Any) -> Iterator[Client]:
    """A client whose connection is open."""
    with connect(f"ws://{address}/play", max_size=None, **options) as socket:
        yield Client(socket)


@contextmanager
def player(address: str) -> Iterator[tuple[Client, dict[str, Any]]]:
    """A client whose turn it is, and what it was welcomed with."""
    with connected(address) as client:
        yield client, client.wait()


def neutral_frames(seed: int, chunks: int, frame: int = 0) -> list[np.ndarray]:
    """What a player sees who does nothing."""
    session = PlaySession(playable_world())
    session.reset(picture(frame, (SIZE, SIZE)), seed=seed)
    return [session.advance(np.zeros((session.rows_wanted, 10), np.float32)) for _ in range(chunks)]


def request(
    address: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    connection = HTTPConnection(address, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def check_it_lives(address: str) -> None:
    """The next player gets in at once, and the world is as it was."""
    with player(address) as (client, _):
        client.begin(seed=5)
        seen = [client.see()[1] for _ in range(3)]
    assert all(np.array_equal(a, b) for a, b in zip(seen, neutral_frames(5, 3), strict=True))

"""Starts the server of a world."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from infer.play_options import PlayOptions
from infer.playing.app import make_app
from infer.playing.gallery import Gallery, first_frame_files
from infer.playing.model_thread import ModelThread
from infer.playing.origin_guard import is_loopback
from infer.world_model import load_world
from vision import WorldPipeline
from vision.transformer.action_input import RATE
from vision.world.play_session import PlaySession

# Longer than any message of a page; of what is longer only this much is read.
_MOST_BYTES = 65536
# How long a page has to answer that the server ends, in seconds.
_GOODBYE = 10


def serve(options: PlayOptions) -> None:
    """Loads the model and serves it until Ctrl-C.

    Raises:
        ValueError: a model that cannot be played, bad first frames.
        OSError: an address that cannot be listened on.
        KeyboardInterrupt: the end.
    """
    pipeline = load_world(options.model, options.dtype, options.device)
    server = make_server(pipeline, options)
    with listen(options.host, options.port) as listening:
        host = f"[{options.host}]" if ":" in options.host else options.host
        print(f"play   http://{host}:{listening.getsockname()[1]}/   (Ctrl-C ends it)", flush=True)
        server.run([listening])


def make_server(pipeline: WorldPipeline, options: PlayOptions) -> uvicorn.Server:
    """The server of a world that is loaded."""
    session = PlaySession(pipeline)
    if not session.is_bounded:
        _warn(
            "this world remembers all that it has shown: memory and the cost of a frame grow. Give its "
            "transformer a window: set_causal(chunk, window)"
        )
    gallery = Gallery(pipeline, first_frame_files(options.frames, options.model))
    frame_rate = pipeline.config["frame_rate"]
    model = ModelThread(session, frame_rate, options.out, options.model)
    if not is_loopback(options.host):
        _warn(f"anybody who reaches this machine on {options.host} can play, upload pictures and record")
    app = make_app(model, gallery, welcome(pipeline, options.model), frame_rate, options.out, options.host)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws_max_size=_MOST_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_GOODBYE,
    )
    return uvicorn.Server(config)


@contextmanager
def served_in_thread(pipeline: WorldPipeline, options: PlayOptions) -> Iterator[str]:
    """The server in a thread of this process, while the block runs; gives its address, ``host:port``."""
    server = make_server(pipeline, options)
    with listen(options.host, options.port) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield f"{options.host}:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        OSError: there is no such address here, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise OSError(
            f"cannot listen on {host}, port {port} ({error.strerror or error}); --port 0 takes a free port"
        ) from error


def welcome(pipeline: WorldPipeline, model: str) -> dict[str, Any]:
    """What a page has to know of a world."""
    config, chunk = pipeline.config, pipeline.transformer.causality.chunk
    return {
        "model": model,
        "frame_rate": config["frame_rate"],
        "chunk_frames": RATE * chunk,
        "height": config["default_height"],
        "width": config["default_width"],
        "steps": pipeline.default_steps,
        "guidance": config["default_action_guidance_scale"],
    }


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)

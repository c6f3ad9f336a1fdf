"""What playing a causal world costs, how soon it answers, and what its caches are worth.

    python -m benchmarks.play [--model FOLDER] [--minutes M] [--bidirectional FOLDER]

Frames a second without a clock and through the real server with one; cost of a chunk and resident memory over
time; ratios to the same model without caches and to a bidirectional one, in turn in this process; and the
operations of a chunk over what the machine multiplies.
"""

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.play_client import Played, play
from benchmarks.resident_memory import resident_bytes
from benchmarks.transformer import machine, table
from infer.play_options import PlayOptions
from infer.playing.gallery import first_frame_files
from infer.playing.server import served_in_thread
from infer.world_model import fitted, load_world, read_first_frame
from vision import WorldPipeline
from vision.latents import DecodeStream
from vision.media import plot_panels
from vision.transformer import Actions
from vision.transformer.action_input import RATE
from vision.world.play_session import PlaySession
from vision.world.policies import POLICIES

RESULTS = Path(__file__).parent / "results"
MODEL = Path(__file__).parents[1] / "checkpoints" / "world-student"
MEBI = 2**20
#: Rows of controls that are played over and over, and points of a curve.
TAPE, POINTS = 4000, 200
WARM_UP = 8  # chunks; until then the window fills


class Player:
    """A play that is fed with a tape of controls.

    Args:
        pipeline: the world.
        image: its first frame.
    """

    def __init__(self, pipeline: WorldPipeline, image: Image.Image) -> None:
        self.session = PlaySession(pipeline)
        self.session.reset(image)
        sticks, buttons = POLICIES["random_walk"](0, TAPE)
        self._tape = np.concatenate([sticks, buttons], 1).astype(np.float32)
        self._used = 0
        causality = pipeline.transformer.causality
        # Until the window is full a chunk costs less.
        for _ in range(WARM_UP + (causality.window or 0) // causality.chunk):
            self.advance()

    def advance(self) -> int:
        """Makes a chunk; returns its frames."""
        wanted = self.session.rows_wanted
        rows = self._tape[np.arange(self._used, self._used + wanted) % TAPE]
        self._used += wanted
        return len(self.session.advance(rows))


def sustain(player: Player, seconds: float) -> Played:
    """Chunk after chunk without a clock."""
    found = Played()
    begin = last = time.perf_counter()
    while last < begin + seconds:
        found.frames += player.advance()
        now = time.perf_counter()
        found.costs.append(now - last)
        found.memory.append(resident_bytes())
        last = now
    found.seconds = last - begin
    return found


class Uncached:
    """The same chunk from a pass over the whole window in every step, then decoded.

    Args:
        pipeline: the world.
        image: its first frame.
    """

    def __init__(self, pipeline: WorldPipeline, image: Image.Image) -> None:
        self._pipeline = pipeline
        causality = pipeline.transformer.causality
        window = causality.window or WARM_UP * causality.chunk
        self._chunk = causality.chunk
        first = pipeline.encode_first_frame(image)
        self._x = first.expand(-1, -1, window, -1, -1).clone()
        rows = RATE * (window - 1) + 1
        self._actions = Actions(torch.zeros(1, rows, 4), torch.zeros(1, rows, 6))
        self._world = pipeline.guided(1, None, None)
        self._decode = DecodeStream(pipeline.vae)
        self._decode(first)

    @torch.no_grad()
    def __call__(self) -> int:
        """Makes a chunk; returns its frames."""
        part = self._x[:, :, -self._chunk :]
        for timestep in self._pipeline.prepare_timesteps(None, None, part):
            times = timestep.repeat(self._x.shape[2])
            times[: -self._chunk] = 0
            velocity = self._world.velocity(self._x, times, self._actions)[:, :, -self._chunk :]
            self._pipeline.scheduler.step(velocity, timestep, part, return_dict=False)
        for latent in part.split(1, dim=2):
            self._decode(latent)
        return RATE * self._chunk


def bidirectional(folder: str, arguments: argparse.Namespace, image: Image.Image) -> Callable[[], int]:
    """A clip of a bidirectional world at 30 steps, decoded; returns its frames."""
    pipeline = load_world(folder, arguments.dtype, arguments.device)
    frames = arguments.clip_frames
    actions = Actions(torch.zeros(1, frames, 4), torch.zeros(1, frames, 6))

    def make() -> int:
        pipeline(fitted(image, pipeline), actions, num_inference_steps=30, output_type="pt")
        return frames

    return make


def in_turn(ways: dict[str, Callable[[], int]], repetitions: int) -> dict[str, list[float]]:
    """Seconds a frame of each way, all once a repetition; the first one warms up."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for repetition in range(repetitions + 1):
        for name, make in ways.items():
            start = time.perf_counter()
            frames = make()
            if repetition:
                found[name].append((time.perf_counter() - start) / frames)
    return found


def operations(work: Callable[[], Any]) -> int:
    """Multiplications and additions of matrix products, convolutions and attention."""

    def attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
        batch, heads, queries, width = query
        return 2 * batch * heads * queries * key[2] * (width + value[3])

    # The counter knows attention on a GPU only.
    on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with FlopCounterMode(display=False, custom_mapping={on_cpu: attention}) as counter:
        work()
    return counter.get_total_flops()


def matrix_rate(dtype: torch.dtype, device: torch.device, seconds: float = 2.0) -> float:
    """Operations a second of the fastest of large matrix products."""
    best = 0.0
    for size in (1024, 2048):
        left = torch.randn(size, size, device=device).to(dtype)
        begin = time.perf_counter()
        while time.perf_counter() < begin + seconds / 2:
            start = time.perf_counter()
            (left @ left)[0, 0].item()  # waits for the end of it
            best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


@dataclass(frozen=True)
class Case:
    """What was measured of one way to play, as a row of a table."""

    name: str
    found: Played

    def row(self) -> list[str]:
        costs, memory = self.found.costs, self.found.memory
        tenth = max(1, len(costs) // 10)
        first, last = (1000 * statistics.median(part) for part in (costs[:tenth], costs[-tenth:]))
        return [
            self.name,
            f"{self.found.seconds:.0f} s",
            f"**{self.found.frames / self.found.seconds:.1f}**",
            f"{1000 * statistics.median(costs):.1f}",
            f"{1000 * float(np.quantile(costs, 0.95)):.1f}",
            f"{first:.1f} to {last:.1f}",
            f"{memory[tenth - 1] / MEBI:.1f} to {memory[-1] / MEBI:.1f}",
        ]


def over_time(values: Sequence[float], seconds: float) -> list[tuple[int, float]]:
    """A curve over so many seconds, each point the median of its share of the values."""
    parts = np.array_split(np.asarray(values, float), min(POINTS, len(values)))
    return [
        (round(seconds * (place + 1) / len(parts)), float(np.median(part)))
        for place, part in enumerate(parts)
    ]


def main() -> None:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description="What playing a causal world costs.")
    add = parser.add_argument
    add("--model", default=str(MODEL), help="folder of a causal WorldPipeline")
    add("--frames", type=Path, nargs="+", default=[], help="first frame; default the model's first example")
    add("--minutes", type=float, default=10.0, help="of each way to play; default 10")
    add("--bidirectional", metavar="FOLDER", help="a bidirectional world to compare with, at 30 steps")
    add("--clip-frames", type=int, default=17, help="of its clips; default 17")
    add("--repetitions", type=int, default=15, help="ratios; default 15")
    add("--threads", type=int, default=torch.get_num_threads(), help="torch's threads")
    add("--dtype", choices=("float32", "bfloat16", "float16"), help="default float32 on a CPU")
    add("--device", help="default the best there is")
    add("--output", type=Path, default=RESULTS / "play.md", help="Markdown file to write, a plot beside it")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        report(arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def report(arguments: argparse.Namespace) -> None:
    """Measures and writes what the command line asks for."""
    pipeline = load_world(arguments.model, arguments.dtype, arguments.device)
    files = first_frame_files(arguments.frames, arguments.model)[:1]
    if not files:
        raise ValueError(f"{arguments.model} has no examples/; give a first frame with --frames FILE")
    image = fitted(read_first_frame(files[0]), pipeline)
    seconds = 60 * arguments.minutes
    player = Player(pipeline, image)
    chunk_frames = player.advance()
    length = chunk_frames / pipeline.config["frame_rate"]

    flops = operations(player.advance)
    rate = matrix_rate(pipeline.transformer.dtype, pipeline.transformer.device)
    free = Case("without a clock", sustain(player, seconds))
    print(*free.row(), sep=" | ", flush=True)
    with tempfile.TemporaryDirectory() as out:
        options = PlayOptions(arguments.model, files, Path(out), "127.0.0.1", 0, None, None)
        with served_in_thread(pipeline, options) as address:
            paced = Case("through the server, in real time", play(address, seconds))
    print(*paced.row(), sep=" | ", flush=True)

    ways: dict[str, Callable[[], int]] = {"with caches": player.advance}
    ways["every step over the whole window"] = Uncached(pipeline, image)
    if arguments.bidirectional:
        name = f"bidirectional, 30 steps, clips of {arguments.clip_frames} frames"
        ways[name] = bidirectional(arguments.bidirectional, arguments, image)
    compared = in_turn(ways, arguments.repetitions)

    latencies = np.array(paced.found.latencies)
    if not len(latencies):
        raise ValueError(f"no input was answered within {arguments.minutes:g} minutes; give more --minutes")
    plot = arguments.output.with_suffix(".png")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    cases = {"no clock": free.found, "server": paced.found}
    panels = {
        "ms a chunk, over seconds": {
            name: over_time([1000 * cost for cost in found.costs], found.seconds)
            for name, found in cases.items()
        },
        "resident memory in MiB, over seconds": {
            name: over_time([size / MEBI for size in found.memory], found.seconds)
            for name, found in cases.items()
        },
        "input to picture in chunks, over seconds": {
            "server": over_time(list(latencies / length), paced.found.seconds)
        },
    }
    plot_panels(panels, plot)
    p95 = float(np.quantile(latencies, 0.95))
    text = (
        f"# What playing a world costs\n\n`python -m benchmarks.play {' '.join(sys.argv[1:])}".rstrip()
        + f"` on {machine()}; {arguments.threads} threads; Python {platform.python_version()}, "
        f"torch {torch.__version__}.\n\n{described(pipeline, image, arguments.model, chunk_frames)}\n\n"
        "## Sustained\n\nAutoencoder included. Cost of a chunk in ms: median, 95 %, and medians of the first "
        "and the last tenth. Resident memory in MiB after the first tenth and at the end.\n\n"
        + table(
            ["way", "time", "frames/s", "ms a chunk", "95 %", "first to last tenth", "memory"],
            [free.row(), paced.row()],
        )
        + f"\n\n![over time]({plot.name})\n\n## Answer\n\n"
        "The real server, and a client on the same machine that shows frames at their rate and moves the "
        "controls at random times. From each change to the first frame that follows from it, without a "
        f"screen's own refresh: median {1000 * np.median(latencies):.0f} ms, 95 % {1000 * p95:.0f} ms, which "
        f"is **{p95 / length:.2f} chunks** ({len(latencies)} inputs). {paced.found.late} of "
        f"{len(paced.found.costs)} chunks came late; nothing could be shown for "
        f"{100 * paced.found.stalled / paced.found.seconds:.2f} % of the time.\n\n"
        "## Against\n\nSeconds a frame, in turn in one process; the ratio is to the world with caches, the "
        f"median of {arguments.repetitions} with its middle half.\n\n"
        + table(["way", "ms a frame", "ratio", "middle half"], ratios(compared))
        + "\n\n## Floor\n\n"
        f"A chunk with its decoding is {flops / 1e9:.3f} billion operations (products of matrices, "
        f"convolutions, attention). The machine's best in large products of {pipeline.transformer.dtype} now "
        f"is {rate / 1e9:.1f} billion a second: at least {1000 * flops / rate:.1f} ms a chunk. Measured: "
        f"{1000 * statistics.median(free.found.costs):.1f} ms, "
        f"**{statistics.median(free.found.costs) * rate / flops:.1f} times** the floor.\n"
    )
    arguments.output.write_text(text)
    print(text, f"written to {arguments.output}", sep="\n")


def described(pipeline: WorldPipeline, image: Image.Image, model: str, chunk_frames: int) -> str:
    """The model and its settings in a sentence."""
    weights = [sum(p.numel() for p in part.parameters()) for part in (pipeline.transformer, pipeline.vae)]
    causality, config = pipeline.transformer.causality, pipeline.config
    return (
        f"`{Path(model).name}`: {image.height} x {image.width}, {config['frame_rate']:g} frames/s, "
        f"{weights[0]:,} parameters and {weights[1]:,} of the autoencoder, {pipeline.transformer.dtype}; "
        f"chunks of {chunk_frames} frames, a window of {causality.window} latent frames, "
        f"{pipeline.default_steps} steps, action guidance {config['default_action_guidance_scale']:g}."
    )


def ratios(compared: dict[str, list[float]]) -> list[list[str]]:
    """Rows of the table of comparisons."""
    base, rows = next(iter(compared.values())), []
    for name, seconds in compared.items():
        found = sorted(other / own for other, own in zip(seconds, base, strict=True))
        low, middle, high = statistics.quantiles(found, n=4) if len(found) > 1 else 3 * found
        rows.append(
            [
                name,
                f"{1000 * statistics.median(seconds):.2f}",
                f"**{middle:.2f}**",
                f"{low:.2f} to {high:.2f}",
            ]
        )
    return rows


if __name__ == "__main__":
    main()

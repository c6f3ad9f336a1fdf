"""Decoding speed of the causal video autoencoder beside diffusers' AutoencoderKLWan at a small size.

    python -m benchmarks.video_autoencoder [FOLDER]

Frames of 64 x 64 a second, all in turn in one process: whole clips of 81 frames, and latents one by one.
FOLDER is a trained TinyVideoAutoencoder; without it a fresh one of the shape of
configs/world/autoencoder64.yaml is measured, which computes the same.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor

from benchmarks.transformer import machine, table
from train.recipes.autoencoder import AutoencoderRecipe
from train.recipes.load import load_recipe
from vision.latents import (
    DecodeStream,
    TinyVideoAutoencoder,
    decode,
    latent_channels,
    load_autoencoder,
    spatial_factor,
)

RESULTS = Path(__file__).parent / "results" / "video_autoencoder.md"
RECIPE = Path(__file__).parents[1] / "configs" / "world" / "autoencoder64.yaml"
SIZE, LATENT_FRAMES = 64, 21
WAN = {
    "base_dim": 16,
    "z_dim": 16,
    "num_res_blocks": 1,
    "temperal_downsample": [False, True, True],
}


def decode_in_parts(vae: Any, latents: Tensor) -> None:
    """All latents of a clip, one after the other."""
    stream = DecodeStream(vae)
    for latent in latents.split(1, dim=2):
        stream(latent)


def measure(vaes: dict[str, Any], threads: list[int], repetitions: int) -> list[list[str]]:
    """Rows of the table: what, how, and the median frames a second for each number of threads."""
    ways: dict[tuple[str, str], Callable[[], Any]] = {}
    for name, vae in vaes.items():
        side = SIZE // spatial_factor(vae)
        generator = torch.Generator().manual_seed(1)
        latents = torch.randn(1, latent_channels(vae) or 3, LATENT_FRAMES, side, side, generator=generator)
        ways[name, "whole clips"] = partial(decode, vae, latents)
        if isinstance(vae, TinyVideoAutoencoder):
            ways[name, "latent by latent"] = partial(decode_in_parts, vae, latents)
    rates: dict[tuple[str, str], list[str]] = {way: [] for way in ways}
    for count in threads:
        torch.set_num_threads(count)
        seconds: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
        for repetition in range(repetitions + 1):
            for way, run in ways.items():
                start = time.perf_counter()
                run()
                if repetition:  # the first one warms up
                    seconds[way].append(time.perf_counter() - start)
        for way, found in seconds.items():
            rates[way].append(f"{(4 * LATENT_FRAMES - 3) / statistics.median(found):.0f}")
    weights = {name: f"{sum(p.numel() for p in vae.decoder.parameters()):,}" for name, vae in vaes.items()}
    return [[name, weights[name], how, *found] for (name, how), found in rates.items()]


@torch.no_grad()
def main() -> None:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description="Decoding speed of video autoencoders.")
    parser.add_argument("folder", nargs="?", type=Path, help="a trained TinyVideoAutoencoder")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="torch's threads")
    parser.add_argument("--repetitions", type=int, default=5, help="clips timed in each way")
    parser.add_argument("--output", type=Path, default=RESULTS, help="Markdown file to write")
    arguments = parser.parse_args()
    diffusers.utils.logging.set_verbosity_error()
    if arguments.folder is None:
        shape = load_recipe(AutoencoderRecipe, RECIPE).shape
        ours = TinyVideoAutoencoder(**(shape.model_dump() if shape else {}))
    else:
        ours = load_autoencoder(arguments.folder)
    vaes = {"TinyVideoAutoencoder": ours.eval(), "AutoencoderKLWan": AutoencoderKLWan(**WAN).eval()}
    head = ["autoencoder", "weights of the decoder", "way", *(f"{n} threads" for n in arguments.threads)]
    found = table(head, measure(vaes, arguments.threads, arguments.repetitions))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(
        "# Decoding speed of video autoencoders\n\n"
        f"`python -m benchmarks.video_autoencoder {' '.join(sys.argv[1:])}".rstrip()
        + f"` on {machine()}; Python {platform.python_version()}, torch {torch.__version__}, diffusers "
        f"{diffusers.__version__}.\n\nFrames of {SIZE} x {SIZE} a second in float32, the median of "
        f"{arguments.repetitions} clips of {4 * LATENT_FRAMES - 3} frames, all in turn in one process. "
        f"AutoencoderKLWan has {', '.join(f'{key}={value}' for key, value in WAN.items())}, which makes "
        f"latents of the same size.\n\n{found}\n"
    )
    print(found, f"written to {arguments.output}", sep="\n")


if __name__ == "__main__":
    main()

"""A tiny autoencoder that can be streamed, and worlds with it."""

from pathlib import Path

from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from tiny_world import tiny_world  # pyright: ignore[reportMissingImports] - of tests/world

from vision import WorldPipeline
from vision.latents import TinyVideoAutoencoder

CHANNELS = 8


def streamed_autoencoder(channels: int = CHANNELS) -> TinyVideoAutoencoder:
    """4 pixels a side and 4 frames become one of ``channels``; of 192 it keeps everything."""
    return TinyVideoAutoencoder(latent_channels=channels, widths=(8,), num_blocks=1, patch_size=4).eval()


def world_of(size: int, chunk: int | None = None) -> WorldPipeline:
    """A random world of two steps, causal where a chunk is given."""
    transformer = tiny_world(in_channels=CHANNELS, out_channels=CHANNELS)
    if chunk is not None:
        transformer.set_causal(chunk, 3 * chunk)
    made = WorldPipeline(
        transformer,
        FlowMatchEulerDiscreteScheduler(shift=5.0),
        streamed_autoencoder(),
        default_height=size,
        default_width=size,
        default_num_inference_steps=2,
    )
    made.set_progress_bar_config(disable=True)
    return made


def saved(folder: Path, size: int, chunk: int | None = None) -> Path:
    """The same in a folder."""
    world_of(size, chunk).save_pretrained(folder)
    return folder

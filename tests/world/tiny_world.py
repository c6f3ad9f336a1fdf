"""Tiny real parts of a world: a transformer that takes actions, an autoencoder with Wan's timing, clips."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from PIL import Image
from torch import Tensor

from vision import WorldPipeline
from vision.media.video import write_video
from vision.transformer import Actions, VideoTransformer
from vision.world.crossfps import METADATA_NAME, VIDEO_NAME
from vision.world.policies import POLICIES
from vision.world.telemetry import TELEMETRY_NAMES, write_telemetry

CHANNELS = 4
#: A transformer for latents of :func:`tiny_autoencoder`.
ARCHITECTURE: dict[str, Any] = {
    "patch_size": [1, 2, 2],
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "text_dim": 8,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 1,
}


def tiny_world(
    conditioning: dict[str, Any] | None = None, std: float = 0.2, **fields: Any
) -> VideoTransformer:
    """A transformer of one block with all weights drawn; by default with SCOPE's action module."""
    model = VideoTransformer(
        **{**ARCHITECTURE, **fields}, conditioning={"action": {}} if conditioning is None else conditioning
    )
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(std * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def tiny_autoencoder() -> AutoencoderKLWan:
    """4 pixels a side and 4 frames become one; random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoencoderKLWan(
            base_dim=4,
            z_dim=CHANNELS,
            dim_mult=[1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[True, True],
            latents_mean=[0.1, -0.2, 0.3, 0.0],
            latents_std=[0.4, 0.5, 0.6, 0.7],
        ).eval()


def tiny_batch(batch: int = 3, frames: int = 3, size: int = 4) -> dict[str, Tensor]:
    """Latents (B, 4, F, size, size) with a row of actions a frame of video."""
    generator = torch.Generator().manual_seed(5)
    rows = 4 * (frames - 1) + 1
    return {
        "latents": torch.randn(batch, CHANNELS, frames, size, size, generator=generator),
        "sticks": 2 * torch.rand(batch, rows, 4, generator=generator) - 1,
        "buttons": (torch.rand(batch, rows, 6, generator=generator) < 0.4).float(),
    }


def write_clip(folder: Path, seed: int, frames: int = 13, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """A clip in CrossFPS's layout: a bright square that the right stick moves; returns its controls."""
    sticks, buttons = POLICIES["random_walk"](seed, frames)
    turned = np.concatenate([[0], np.cumsum(sticks[:-1, 2])]) * 2 + size / 2
    pixels = torch.full((3, frames, size, size), 60, dtype=torch.uint8)
    for frame, place in enumerate(turned.round().astype(int)):
        pixels[:, frame, 4:12, np.arange(place, place + 4) % size] = 220
    folder.mkdir(parents=True)
    write_video(pixels, folder / VIDEO_NAME, 17.5, 4, "ultrafast")
    write_telemetry(folder / TELEMETRY_NAMES[0], sticks, buttons, {})
    (folder / METADATA_NAME).write_text(json.dumps({"seed": seed}))
    return sticks, buttons


def pipeline_of(transformer: VideoTransformer | None = None, **options: Any) -> WorldPipeline:
    """Four steps of shift 5 with the tiny parts."""
    made = WorldPipeline(
        tiny_world() if transformer is None else transformer,
        FlowMatchEulerDiscreteScheduler(shift=5.0),
        tiny_autoencoder(),
        **{"default_num_inference_steps": 4, **options},
    )
    made.set_progress_bar_config(disable=True)
    return made


def picture(seed: int = 0, size: tuple[int, int] = (16, 16)) -> Image.Image:
    """Noise of size (H, W)."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def rows(batch: int = 1, frames: int = 3) -> Actions:
    """Rows for so many latent frames."""
    made = tiny_batch(batch, frames)
    return Actions(made["sticks"], made["buttons"])


def seeded(seed: int = 0) -> torch.Generator:
    """A generator on the CPU."""
    return torch.Generator().manual_seed(seed)

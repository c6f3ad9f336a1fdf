"""Tiny models with context blocks and a guider, as diffusers' class and as ours."""

from typing import Any

import torch
from diffusers.models.transformers.transformer_wan_vace import WanVACETransformer3DModel
from tiny_transformers import TINY, make_inputs, randomize
from torch import Tensor

from vision.transformer import VideoTransformer

CONTROL = 9
BASE = {**TINY, "num_layers": 2}


def make_vace(layers: list[int], **fields: Any) -> VideoTransformer:
    """A model with context blocks, all weights drawn."""
    model = VideoTransformer(**{**TINY, **fields}, vace_layers=layers, vace_in_channels=CONTROL)
    randomize(model)
    return model


def make_vace_pair(layers: list[int], **fields: Any) -> tuple[WanVACETransformer3DModel, VideoTransformer]:
    """diffusers' model and ours with its weights."""
    options = {**TINY, **fields, "vace_layers": layers, "vace_in_channels": CONTROL}
    theirs = WanVACETransformer3DModel(**options)
    randomize(theirs)
    ours = VideoTransformer(**options).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def vace_inputs(**changes: Any) -> dict[str, Tensor]:
    """A noisy video of 3 x 4 x 3 tokens, a prompt of five tokens, control latents."""
    made = {**make_inputs(text_tokens=5), "control_hidden_states": torch.randn(2, CONTROL, 3, 8, 6)}
    return {**made, **changes}


def guide_inputs() -> dict[str, Tensor]:
    """A guide of two frames, before which one is missing, and seven tokens of timed text."""
    mask = torch.rand(2, 3, 7) < 0.6
    mask[:, 0] = False
    mask[:, 1:, 0] = True
    return {
        "guide_latents": torch.randn(2, 4, 2, 8, 6),
        "timed_text": torch.randn(2, 7, 20),
        "timed_text_mask": mask,
        "frame_positions": torch.tensor([[0.0, 0, 4], [0, 4, 8]]),
        "text_positions": torch.tensor([[0.0, 0, 0, 4, 4, 4, 4], [0, 4, 4, 8, 8, 8, 8]]),
    }


def make_guided(guider: dict[str, Any] | None = None, layers: list[int] | None = None) -> VideoTransformer:
    """Two blocks with context blocks and a guider, all weights drawn."""
    model = VideoTransformer(
        **BASE,
        vace_layers=[0, 1] if layers is None else layers,
        vace_in_channels=CONTROL,
        conditioning={"guider": guider or {}},
    )
    randomize(model)
    return model

"""Tiny real models, as diffusers' class and as ours, with equal weights."""

import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch import nn

from vision.transformer import VideoTransformer

TINY = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 24,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 20,
    "freq_dim": 32,
    "ffn_dim": 64,
    "num_layers": 3,
}
VARIANTS = {
    "text": {},
    "plain_cross": {"cross_attn_norm": False},
    "image": {"image_dim": 10, "added_kv_proj_dim": 48},
    "first_last": {"image_dim": 10, "added_kv_proj_dim": 48, "pos_embed_seq_len": 10},
}


def randomize(model: nn.Module, std: float = 0.2) -> None:
    """Draws every parameter, also those that start at zero or one."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=std)
    model.eval()


def make_inputs(variant: str = "text", batch: int = 2, text_tokens: int = 512) -> dict[str, torch.Tensor]:
    """Latents of 3 x 4 x 3 tokens, one timestep a sample, a prompt and picture features."""
    inputs = {
        "hidden_states": torch.randn(batch, 4, 3, 8, 6),
        "timestep": 1000 * torch.rand(batch),
        "encoder_hidden_states": torch.randn(batch, text_tokens, 20),
    }
    if variant == "image":
        inputs["encoder_hidden_states_image"] = torch.randn(batch, 5, 10)
    if variant == "first_last":
        inputs["encoder_hidden_states_image"] = torch.randn(2 * batch, 5, 10)
    return inputs


def make_tiny(variant: str = "text", **fields) -> VideoTransformer:
    """A model with random weights."""
    model = VideoTransformer(**TINY, **VARIANTS[variant], **fields)
    randomize(model)
    return model


def make_pair(variant: str = "text") -> tuple[WanTransformer3DModel, VideoTransformer]:
    """diffusers' model and ours with its weights."""
    theirs = WanTransformer3DModel(**TINY, **VARIANTS[variant])
    randomize(theirs)
    ours = VideoTransformer(**TINY, **VARIANTS[variant]).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours

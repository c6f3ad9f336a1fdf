"""The shape of a new transformer."""

from typing import Literal

from pydantic import Field

from train.recipes.recipe import Recipe


class ArchitectureRecipe(Recipe):
    """Config fields of VideoTransformer, by diffusers' names."""

    patch_size: tuple[int, int, int] = Field(default=(1, 2, 2), strict=False)
    """Frames, height and width of the latent that become one token."""

    num_attention_heads: int = Field(ge=1)
    """Attention heads; the width of the network is heads x attention_head_dim."""

    attention_head_dim: int = Field(ge=2, multiple_of=2)
    """Channels of a head."""

    in_channels: int = Field(ge=1)
    """Channels of the latents (of the pixels without an autoencoder)."""

    out_channels: int = Field(ge=1)
    """Channels of the velocity, those of the latents."""

    text_dim: int = Field(ge=1)
    """Width of the prompt embeddings."""

    freq_dim: int = Field(default=256, ge=2, multiple_of=2)
    """Sines and cosines of the time."""

    ffn_dim: int = Field(ge=1)
    """Hidden width of the feed-forward layers."""

    num_layers: int = Field(ge=1)
    """Blocks."""

    cross_attn_norm: bool = True
    """Layer norm before the cross-attention."""

    qk_norm: Literal["rms_norm_across_heads"] | None = "rms_norm_across_heads"
    """Norm of queries and keys; null goes without."""

    eps: float = Field(default=1e-6, gt=0)
    """Epsilon of the norms."""

    rope_max_seq_len: int = Field(default=1024, ge=1)
    """Largest number of patches along an axis."""

    prediction_type: Literal["flow_prediction", "sample"] | None = None
    """sample: the output layer predicts clean latents, from which the velocity follows, which is easier for
    a small network with many numbers a token; null, the velocity itself, as released weights do."""

"""Tiny models that take actions, and a plain second writing of SCOPE's module to compare with.

Legend: B batch, F latent frames, S pixels (tokens of a frame), D width, T rows of actions, H heads,
E width of a head.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from tiny_transformers import TINY, randomize
from torch import Tensor, nn

from vision.transformer import Actions, BlockContext, VideoTransformer
from vision.transformer.rotary import frame_table

HEADS, HEAD_DIM = 2, 24
OPTIONS = {
    "released": {},
    "parallel": {"parallel": True},
    "null_key": {"null_key": True},
    "one_token_a_button": {"one_token_a_button": True},
    "narrow": {"parallel": True, "null_key": True, "one_token_a_button": True, "width": 48},
}


def make_actions(frames: int, batch: int = 2) -> Actions:
    """Rows for ``frames`` latent frames, one a frame of video."""
    rows = 4 * (frames - 1) + 1
    return Actions(2 * torch.rand(batch, rows, 4) - 1, (torch.rand(batch, rows, 6) < 0.4).float())


def make_acting(
    kind: str = "action", std: float = 0.2, heads: int = HEADS, **options: Any
) -> VideoTransformer:
    """Two blocks, 48 wide, all weights drawn."""
    fields = {**TINY, "num_layers": 2, "num_attention_heads": heads}
    model = VideoTransformer(**fields, conditioning={kind: options})
    randomize(model, std)
    return model


def make_told() -> VideoTransformer:
    """As :func:`make_acting`; each token is told of the frame before its chunk."""
    model = make_acting()
    model.add_previous_frame()
    randomize(model, 0.2)
    return model


def make_video(frames: int, batch: int = 2) -> dict[str, Tensor]:
    """Latents of F x 2 x 3 tokens, a timestep a frame, a prompt."""
    return {
        "hidden_states": torch.randn(batch, 4, frames, 4, 6),
        "timestep": 1000 * torch.rand(batch, frames),
        "encoder_hidden_states": torch.randn(batch, 5, 20),
    }


def streams(actions: Actions) -> dict[str, Tensor]:
    """Sticks and buttons by name."""
    return {"sticks": actions.sticks, "buttons": actions.buttons}


def module_context(
    model: VideoTransformer,
    grid: tuple[int, int, int],
    given: Mapping[str, Tensor],
    start: int = 0,
    mask: Tensor | None = None,
) -> BlockContext:
    """What the action module reads, of the streams by name; ``start`` moves the positions alone."""
    shared: Any = model.condition_inputs["actions"]
    made = shared(given, next(iter(given.values())), grid, None)
    if made:
        made["frame_rotary"] = frame_table(grid[0], HEAD_DIM, torch.device("cpu"), start)
    nothing: Any = None
    return BlockContext(nothing, None, nothing, nothing, grid, None, None, made, mask)


def action_module(model: VideoTransformer, block: int = 0) -> Any:
    """The action module of one block."""
    found: Any = model.blocks[block]
    return found.conditioning["action"]


def _rotate(x: Tensor) -> Tensor:
    """Rotary positions of (N, F, H, E): pair j of frame f turns by f / 10000^(2 j / E)."""
    frames, width = x.shape[1], x.shape[3]
    angle = torch.tensor(
        [[f / 10000 ** (2 * j / width) for j in range(width // 2)] for f in range(frames)],
        dtype=torch.float64,
    )
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    even, odd = x[..., 0::2].double(), x[..., 1::2].double()
    return rearrange([even * cos - odd * sin, even * sin + odd * cos], "two n f h e -> n f h (e two)").float()


def _normalize(x: Tensor, norm: Any) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(N, F, D) thrice to (N, F, D), positions on queries and keys."""
    q, k, v = (rearrange(x, "n f (h e) -> n f h e", e=HEAD_DIM) for x in (q, k, v))
    scores = torch.einsum("nqhe,nkhe->nhqk", _rotate(q), _rotate(k)) / math.sqrt(HEAD_DIM)
    return rearrange(torch.einsum("nhqk,nkhe->nqhe", scores.softmax(-1), v), "n f h e -> n f (h e)")


def _windows(rows: Tensor, frames: int) -> Tensor:
    """(B, T, A) to (B, F, 16 A): the sixteen rows before 4 i, the first row standing for what is missing."""
    return torch.stack(
        [
            torch.cat([rows[:, max(0, row)] for row in range(4 * i - 16, 4 * i)], dim=-1)
            for i in range(frames)
        ],
        dim=1,
    )


def reference(module: Any, x: Tensor, frames: int, sticks: Tensor | None, buttons: Tensor | None) -> Tensor:
    """SCOPE's released module with the weights of ours: (B, F S, D) to the same."""
    batch, pixels = len(x), x.shape[1] // frames
    hidden = rearrange(x, "b (f s) d -> (b s) f d", f=frames)
    if sticks is not None:
        path = module.sticks
        seen = repeat(_windows(sticks, frames), "b f g -> (b s) f g", s=pixels)
        fused = path.mlp_out(F.gelu(path.mlp_in(torch.cat([hidden, seen], -1)), approximate="tanh"))
        fused = F.layer_norm(fused, fused.shape[-1:], path.norm.weight, path.norm.bias, 1e-5)
        query, key = _normalize(path.to_q(fused), path.norm_q), _normalize(path.to_k(fused), path.norm_k)
        hidden = hidden + path.to_out[0](_attend(query, key, path.to_v(fused)))
    if buttons is not None:
        path = module.buttons
        seen = _windows(path.embed_out(F.silu(path.embed_in(buttons))), frames)
        key, value = path.to_kv(seen).chunk(2, -1)
        key, value = (
            repeat(y, "b f d -> (b s) f d", s=pixels) for y in (_normalize(key, path.norm_k), value)
        )
        query = _normalize(path.to_q(hidden), path.norm_q)
        hidden = hidden + path.to_out(_attend(query, key, value))
    return rearrange(hidden, "(b s) f d -> b (f s) d", b=batch)


def fresh(module: nn.Module) -> None:
    """Fresh weights for a conditioning module."""
    with torch.no_grad():
        module.reset_parameters()  # type: ignore[reportCallIssue]

"""One attention function, its backend chosen by name.

Legend: B batch, L query tokens, M key tokens, H heads, E width of a head.
"""

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from diffusers.models.attention_dispatch import (
    AttentionBackendName,
    _check_attention_backend_requirements,
    dispatch_attention_fn,
)
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

#: A boolean tensor that broadcasts to (B, H, L, M), true where a query sees a key, or flex's own mask.
Mask = Tensor | BlockMask

# The two-product backend works on this many bytes of scores at once.
_SCORE_BYTES = 4 * 2**20
# Chosen unasked only where the scores that autograd keeps stay below this.
_KEPT_SCORE_BYTES = 2**30
_SHORT_ROW = 64


class AttentionBackendError(ValueError):
    """A backend that is unknown, not installed, or cannot do what it was asked."""


def attention(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Mask | None = None, backend: str | None = None
) -> Tensor:
    """Scaled dot-product attention, ``softmax(q k^T / sqrt(E)) v``.

    Args:
        query: shape (B, L, H, E).
        key: shape (B, M, H, E), in the type of ``query``.
        value: shape (B, M, H, E), in the type of ``query``.
        mask: see :data:`Mask`; None lets every query see every key.
        backend: ``"sdpa"``, ``"matmul"`` (two products with a softmax between: fastest in bfloat16 on a
            CPU), ``"flex"``, or a name of diffusers' dispatcher (``"xformers"``, ``"flash"``, ...). None
            takes ``"sdpa"``, or ``"matmul"`` for bfloat16 on a CPU.

    Returns:
        The attended values, shape (B, L, H, E).

    Raises:
        AttentionBackendError: the named backend is missing, or cannot take this mask or device. Another
            one is never taken in its place.
    """
    if backend is None:
        backend = _default_backend(query, key, mask)
    return find_backend(backend)(query, key, value, mask)


def _default_backend(query: Tensor, key: Tensor, mask: Mask | None) -> str:
    if isinstance(mask, BlockMask):
        return "flex"
    if query.device.type != "cpu" or query.dtype != torch.bfloat16:
        return "sdpa"
    batch, queries, heads, _ = query.shape
    kept = batch * heads * queries * key.shape[1] * query.element_size()
    return "matmul" if kept <= _KEPT_SCORE_BYTES else "sdpa"


def _require_tensor_mask(mask: Mask | None, backend: str) -> Tensor | None:
    if isinstance(mask, BlockMask):
        raise AttentionBackendError(
            f"attention backend {backend!r} cannot take a flex BlockMask; pass a boolean tensor or use 'flex'"
        )
    return mask


def _sdpa(query: Tensor, key: Tensor, value: Tensor, mask: Mask | None) -> Tensor:
    mask = _require_tensor_mask(mask, "sdpa")
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))  # (B, H, *, E)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, rows: int) -> Tensor:
    """(N, L, E), (N, E, M), (N, M, E) to (N, L, E), for ``rows`` queries at a time."""
    scale = query.shape[-1] ** -0.5
    attended = []
    for number, part in enumerate(query.split(rows, 1)):
        if bias is None:
            scores = torch.baddbmm(query.new_empty(1, 1, 1), part, key, beta=0, alpha=scale)  # (N, rows, M)
        else:
            scores = torch.baddbmm(bias[:, number * rows : (number + 1) * rows], part, key, alpha=scale)
        # torch's bfloat16 softmax is slow on rows shorter than a few vector registers.
        weights = scores.softmax(-1) if key.shape[2] >= _SHORT_ROW else scores.float().softmax(-1)
        attended.append(torch.bmm(weights.to(value.dtype), value))
    return attended[0] if len(attended) == 1 else torch.cat(attended, 1)


def _matmul(query: Tensor, key: Tensor, value: Tensor, mask: Mask | None) -> Tensor:
    mask = _require_tensor_mask(mask, "matmul")
    batch, queries, heads, _ = query.shape
    keys = key.shape[1]
    query, key, value = (x.transpose(1, 2).flatten(0, 1) for x in (query, key, value))  # (B H, *, E)
    # Scores of a few heads, or of some queries of one head, at a time stay in the cache.
    rows = max(1, _SCORE_BYTES // (keys * query.element_size()))
    group, rows = max(1, rows // queries), min(rows, queries)
    bias_parts = [None] * -(-batch * heads // group)
    if mask is not None:
        bias = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask.logical_not(), float("-inf"))
        bias_parts = bias.expand(batch, heads, queries, keys).flatten(0, 1).split(group)
    parts = zip(query.split(group), key.mT.split(group), value.split(group), bias_parts, strict=True)
    attended = [_attend(*part, rows) for part in parts]
    result = attended[0] if len(attended) == 1 else torch.cat(attended)
    return result.unflatten(0, (batch, heads)).transpose(1, 2)


@cache
def _compiled_flex() -> Callable[..., Tensor]:
    return torch.compile(flex_attention, dynamic=False)


def _flex(query: Tensor, key: Tensor, value: Tensor, mask: Mask | None) -> Tensor:
    wants_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
    if query.device.type == "cpu" and wants_gradient:
        raise AttentionBackendError(
            "attention backend 'flex' has no gradient on a CPU; use 'sdpa' or 'matmul', with a boolean mask"
        )
    if isinstance(mask, Tensor):
        mask = block_mask(mask, query, key)
    query, key, value = (
        x.transpose(1, 2) if wants_gradient else x.detach().transpose(1, 2) for x in (query, key, value)
    )
    # On a GPU the uncompiled form would hold the whole score matrix; on a CPU compiling takes a minute.
    use_compiled = query.is_cuda and not torch.compiler.is_compiling()
    attend = _compiled_flex() if use_compiled else flex_attention
    attended = attend(query, key, value, block_mask=mask)
    assert isinstance(attended, Tensor)
    return attended.transpose(1, 2)


def block_mask(mask: Tensor, query: Tensor, key: Tensor) -> BlockMask:
    """flex's mask from a boolean one that broadcasts to (B, H, L, M)."""
    mask = mask.expand(query.shape[0], query.shape[2], query.shape[1], key.shape[1])
    return create_block_mask(
        lambda b, h, q, k: mask[b, h, q, k],
        *mask.shape,
        device=str(mask.device),  # type: ignore[reportArgumentType]
    )


def _dispatched(name: AttentionBackendName) -> Callable[[Tensor, Tensor, Tensor, Mask | None], Tensor]:
    def attend(query: Tensor, key: Tensor, value: Tensor, mask: Mask | None) -> Tensor:
        mask = _require_tensor_mask(mask, name.value)
        if query.device.type == "cpu" and name.value not in ("native", "_native_math"):
            raise AttentionBackendError(
                f"attention backend {name.value!r} does not run on a CPU; use 'sdpa' or 'matmul' there"
            )
        try:
            return dispatch_attention_fn(query, key, value, attn_mask=mask, backend=name)
        except (ValueError, RuntimeError) as error:
            # Of torch's own errors only these speak of what the backend can do.
            refuses = isinstance(error, ValueError | NotImplementedError) or "No available kernel" in str(
                error
            )
            if not refuses:
                raise
            given = "no mask" if mask is None else f"a mask of shape {tuple(mask.shape)}"
            raise AttentionBackendError(
                f"attention backend {name.value!r} refuses {query.dtype} on {query.device} with {given}: "
                f"{error}"
            ) from error

    return attend


_FOUND: dict[str, Callable[[Tensor, Tensor, Tensor, Mask | None], Tensor]] = {
    "sdpa": _sdpa,
    "matmul": _matmul,
    "flex": _flex,
}


def find_backend(name: str) -> Callable[[Tensor, Tensor, Tensor, Mask | None], Tensor]:
    """The function behind a backend's name.

    Raises:
        AttentionBackendError: no backend has this name, or what it needs is not installed.
    """
    if name not in _FOUND:
        _FOUND[name] = _find_dispatched(name)
    return _FOUND[name]


def _find_dispatched(name: str) -> Callable[[Tensor, Tensor, Tensor, Mask | None], Tensor]:
    try:
        dispatched = AttentionBackendName(name)
    except ValueError:
        known = dict.fromkeys(["sdpa", "matmul", "flex", *(member.value for member in AttentionBackendName)])
        raise AttentionBackendError(
            f"no attention backend is called {name!r}; choose one of {', '.join(known)}"
        ) from None
    try:
        _check_attention_backend_requirements(dispatched)
    except RuntimeError as error:
        raise AttentionBackendError(f"attention backend {name!r} is not available: {error}") from error
    return _dispatched(dispatched)

"""Attention: every backend that runs here computes the same; the others say why they do not."""

import math
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_transformers import make_inputs, make_tiny
from torch.nn.attention.flex_attention import create_block_mask

from vision.transformer import AttentionBackendError, attention

BACKENDS = ["sdpa", "matmul", "flex", "native", "_native_math"]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.03}


def reference(query, key, value, mask=None):
    """The definition, in float64."""
    query, key, value = (x.double().transpose(1, 2) for x in (query, key, value))
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return (scores.softmax(-1) @ value).transpose(1, 2)


def make_qkv(batch=2, queries=37, keys=21, heads=3, width=16, dtype=torch.float32):
    shapes = ((batch, length, heads, width) for length in (queries, keys, keys))
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def make_mask(batch, queries, keys, per_sample):
    mask = torch.rand(batch if per_sample else 1, 1, queries, keys) < 0.5
    mask[..., 0] = True
    return mask


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("backend", [*BACKENDS, None])
def test_backends_follow_the_definition_forward_and_backward(backend, masked, dtype):
    query, key, value = make_qkv(dtype=dtype)
    mask = make_mask(2, 37, 21, per_sample=True) if masked else None
    expected = reference(query, key, value, mask)
    if backend == "flex":
        with pytest.raises(AttentionBackendError, match="no gradient on a CPU"):
            attention(query, key, value, mask=mask, backend=backend)
    with torch.set_grad_enabled(backend != "flex"):
        found = attention(query, key, value, mask=mask, backend=backend)
    assert found.shape == query.shape and found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=TOLERANCE[dtype])
    if backend == "flex":
        return
    upstream = torch.randn(found.shape, dtype=dtype)
    gradients = torch.autograd.grad(found, (query, key, value), upstream)
    for gradient, exact in zip(
        gradients, torch.autograd.grad(expected, (query, key, value), upstream.double()), strict=True
    ):
        torch.testing.assert_close(gradient.float(), exact.float(), rtol=0, atol=4 * TOLERANCE[dtype])


@given(
    batch=st.integers(1, 3),
    heads=st.integers(1, 4),
    queries=st.integers(1, 30),
    keys=st.integers(1, 80),
    limit=st.integers(1, 20_000),
    masked=st.sampled_from([None, "shared", "per_sample"]),
)
def test_matmul_is_the_same_whatever_it_takes_at_once(batch, heads, queries, keys, limit, masked):
    query, key, value = make_qkv(batch, queries, keys, heads, 8)
    mask = None if masked is None else make_mask(batch, queries, keys, masked == "per_sample")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["vision.transformer.attention"], "_SCORE_BYTES", limit)
        found = attention(query, key, value, mask=mask, backend="matmul")
    torch.testing.assert_close(found.double(), reference(query, key, value, mask), rtol=0, atol=1e-5)


def test_flex_takes_its_own_mask_unasked():
    query, key, value = make_qkv(batch=1, queries=32, keys=32)
    causal = create_block_mask(lambda b, h, q, k: q // 8 >= k // 8, None, None, 32, 32, device="cpu")  # type: ignore
    frames = torch.arange(32) // 8
    dense = frames[:, None] >= frames[None]
    with torch.no_grad():
        found = attention(query, key, value, mask=causal)
    torch.testing.assert_close(found.double(), reference(query, key, value, dense), rtol=0, atol=1e-5)
    for backend in ("sdpa", "matmul", "native"):
        with pytest.raises(AttentionBackendError, match="BlockMask"):
            attention(query, key, value, mask=causal, backend=backend)


def test_named_backend_is_never_replaced():
    query, key, value = make_qkv()
    with pytest.raises(AttentionBackendError, match=r"'fast'; choose one of sdpa, matmul, flex"):
        attention(query, key, value, backend="fast")
    with pytest.raises(AttentionBackendError, match="'flash' is not available"):
        attention(query, key, value, backend="flash")
    with pytest.raises(AttentionBackendError, match=r"'_native_cudnn' .*CPU"):
        attention(query, key, value, backend="_native_cudnn")


@torch.no_grad()
def test_model_uses_the_backend_it_is_told():
    model, inputs = make_tiny(), make_inputs()
    before = model(**inputs).sample
    for backend in ("matmul", "flex", "native"):
        model.set_attention_backend(backend)
        torch.testing.assert_close(model(**inputs).sample, before, rtol=0, atol=1e-4)
    with pytest.raises(AttentionBackendError, match="no attention backend"):
        model.set_attention_backend("fast")
    model.set_attention_backend("_native_flash")
    with pytest.raises(AttentionBackendError, match="_native_flash"):
        model(**inputs)
    model.reset_attention_backend()
    assert torch.equal(model(**inputs).sample, before)


@torch.no_grad()
def test_model_masks_its_self_attention():
    # With frames that see only themselves and earlier ones, a change of the last frame stays in it.
    model, inputs = make_tiny(), make_inputs()
    frames = torch.arange(36) // 12
    mask = frames[:, None] >= frames[None]
    changed = inputs["hidden_states"].clone()
    changed[:, :, 2] += 1
    first = model(**inputs, attention_mask=mask).sample
    second = model(**{**inputs, "hidden_states": changed}, attention_mask=mask).sample
    torch.testing.assert_close(first[:, :, :2], second[:, :, :2], rtol=0, atol=1e-5)
    assert (first[:, :, 2] - second[:, :, 2]).abs().max() > 0.01
    assert not torch.allclose(model(**inputs).sample, first, atol=0.01)

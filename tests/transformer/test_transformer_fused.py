"""The hand-written backward passes against autograd of the plain formulas."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import forward_ad

from vision.transformer.fused import add_scaled, norm_rotate, tanh_gelu
from vision.transformer.rotary import RotaryEmbedding, rotate


def check(own, plain, *inputs: Tensor, rounding: float = 1e-5) -> None:
    """Outputs and gradients agree up to ``rounding`` of the largest value."""
    leaves = [[x.detach().clone().requires_grad_() for x in inputs] for _ in range(2)]
    outputs = [function(*x) for function, x in zip((own, plain), leaves, strict=True)]
    upstream = torch.randn_like(outputs[1])
    gradients = [torch.autograd.grad(y, x, upstream) for y, x in zip(outputs, leaves, strict=True)]
    for mine, theirs in zip((outputs[0], *gradients[0]), (outputs[1], *gradients[1]), strict=True):
        assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
        torch.testing.assert_close(mine, theirs, rtol=0, atol=rounding * max(1, theirs.abs().max().item()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rotated", [False, True])
def test_norm_rotate(rotated, dtype):
    x, weight = 3 * torch.randn(2, 12, 36, dtype=dtype), torch.randn(36)
    table = RotaryEmbedding(18, 64)((3, 2, 2), torch.device("cpu")) if rotated else None

    def plain(x: Tensor, weight: Tensor) -> Tensor:
        normed = F.rms_norm(x.float(), (36,), weight, 1e-6).unflatten(-1, (2, 18))
        return (normed if table is None else rotate(normed, table)).to(dtype)

    rounding = 1e-5 if dtype == torch.float32 else 0.02
    check(lambda x, w: norm_rotate(x, w, 1e-6, 2, table), plain, x, weight, rounding=rounding)


@pytest.mark.parametrize("base", [(2, 1, 1, 8), (2, 3, 1, 8), (2, 3, 4, 8)])
@pytest.mark.parametrize("factor", [(2, 1, 1, 8), (2, 3, 1, 8)])
def test_add_scaled(base, factor):
    if base[1] < factor[1]:
        base = (2, 3, 1, 8)
    check(
        add_scaled,
        lambda base, x, factor: base + x * factor,
        torch.randn(base),
        torch.randn(2, 3, 4, 8),
        torch.randn(factor),
    )


@given(st.integers(1, 300_000), st.sampled_from([torch.float32, torch.bfloat16]))
def test_tanh_gelu(size, dtype):
    x = 4 * torch.randn(size, dtype=dtype)
    check(
        tanh_gelu,
        lambda x: F.gelu(x, approximate="tanh"),
        x,
        rounding=1e-6 if dtype == torch.float32 else 0.005,
    )


def test_tanh_gelu_of_a_view():
    check(lambda x: tanh_gelu(x.mT), lambda x: F.gelu(x.mT, approximate="tanh"), torch.randn(3, 5, 7))


def test_frozen_inputs_cost_no_gradient():
    x, factor = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3)
    (gradient,) = torch.autograd.grad(add_scaled(torch.ones(2, 3), x, factor).sum(), x)
    assert torch.equal(gradient, factor)


@given(st.integers(0, 40), st.integers(0, 40))
def test_rotation_depends_on_the_distance_alone(first, second):
    # RoFormer, equation 16: <R_m q, R_n k> is a function of m - n.
    table = RotaryEmbedding(12, 64)((64, 1, 1), torch.device("cpu"))
    query, key = torch.randn(1, 1, 1, 12), torch.randn(1, 1, 1, 12)

    def logit(m: int, n: int) -> Tensor:
        return (rotate(query, table[m : m + 1]) * rotate(key, table[n : n + 1])).sum()

    torch.testing.assert_close(logit(first, second), logit(first + 20, second + 20), rtol=0, atol=1e-4)


def check_forward(own, plain, primals: tuple[Tensor, ...], rounding: float = 1e-5) -> None:
    """Tangents agree up to ``rounding`` of the largest value, with and without autograd recording."""
    tangents = tuple(torch.randn_like(x) for x in primals)
    expected = torch.func.jvp(plain, primals, tangents)[1]
    for recording in (True, False):
        with torch.set_grad_enabled(recording), forward_ad.dual_level():
            dual = own(*(forward_ad.make_dual(x, u) for x, u in zip(primals, tangents, strict=True)))
            found = forward_ad.unpack_dual(dual).tangent
        torch.testing.assert_close(
            found, expected, rtol=0, atol=rounding * max(1, expected.abs().max().item())
        )


@pytest.mark.parametrize("rotated", [False, True])
def test_forward_derivative_of_norm_rotate(rotated):
    x, weight = 3 * torch.randn(2, 12, 36), torch.randn(36, requires_grad=True)
    table = RotaryEmbedding(18, 64)((3, 2, 2), torch.device("cpu")) if rotated else None

    def plain(x: Tensor) -> Tensor:
        normed = F.rms_norm(x, (36,), weight, 1e-6).unflatten(-1, (2, 18))
        return normed if table is None else rotate(normed, table)

    check_forward(lambda x: norm_rotate(x, weight, 1e-6, 2, table), plain, (x,))


def test_forward_derivative_of_add_scaled_and_gelu():
    base, x, factor = torch.randn(2, 3, 1, 8), torch.randn(2, 3, 4, 8), torch.randn(2, 3, 1, 8)
    check_forward(add_scaled, lambda base, x, factor: base + x * factor, (base, x, factor))
    # What has no tangent counts as a constant.
    check_forward(lambda x: add_scaled(base, x, factor), lambda x: base + x * factor, (x,))
    check_forward(lambda b: add_scaled(b, x, factor), lambda b: b + x * factor, (base,))
    check_forward(tanh_gelu, lambda x: F.gelu(x, approximate="tanh"), (3 * x,))

"""Elementwise steps of a block with derivatives written by hand: backward, and forward (jvp).

A small model on a CPU spends as long in elementwise passes as in matrix products, and what autograd
makes of the composite operations takes up to three times as many passes as the derivatives need.

Legend: B batch, L tokens, D width, H heads, E width of a head, G groups of tokens, N tokens in all.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from vision.transformer.rotary import rotate

_SQRT_8_OVER_PI = 1.5957691216057308
_CUBIC = 0.044715
_PIECE = 2**17


class AddScaled(torch.autograd.Function):
    """``base + x factor``; ``base`` and ``factor`` may be one value a group of tokens."""

    @staticmethod
    def forward(ctx: Any, base: Tensor, x: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(x, factor)
        ctx.save_for_forward(x, factor)
        ctx.set_materialize_grads(False)
        ctx.base_shape = base.shape
        return torch.addcmul(base, x, factor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, factor = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            grad.sum_to_size(ctx.base_shape) if wanted[0] else None,
            grad * factor if wanted[1] else None,
            (grad * x).sum_to_size(factor.shape) if wanted[2] else None,
        )

    @staticmethod
    def jvp(ctx: Any, base: Tensor | None, x: Tensor | None, factor: Tensor | None) -> Tensor:
        """Tangent of the output from those of the inputs."""
        of_x, of_factor = ctx.saved_tensors
        result = torch.zeros_like(of_x)
        if base is not None:
            result += base
        if x is not None:
            result.addcmul_(x, of_factor)
        if factor is not None:
            result.addcmul_(of_x, factor)
        return result


class NormRotate(torch.autograd.Function):
    """Root-mean-square norm over the width, then rotation of neighbouring channels, in float32.

    With ``r = (mean(x^2) + eps)^-1/2``, ``y = R(x r w)`` for weights ``w`` and a rotation ``R``; with
    ``h = R^-1 g w`` the gradient is ``r h - x r^3 mean(h x)``, of the weights ``sum_N r x R^-1 g``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, heads: int, table: Tensor | None) -> Tensor:
        """(B, L, D) to (B, L, H, E), the heads before the tokens in memory."""
        wide = x.float()
        norm = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        inverse = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()  # (B, L, 1)
        ctx.save_for_backward(x, weight, inverse, table)
        ctx.save_for_forward(x, weight, inverse, table)
        ctx.set_materialize_grads(False)
        ctx.heads = heads
        return NormRotate._arrange((wide * inverse).mul_(weight), heads, table, x.dtype)

    @staticmethod
    def _arrange(wide: Tensor, heads: int, table: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Splits (B, L, D), which it may overwrite, into heads and rotates them."""
        result = wide.unflatten(-1, (heads, -1))
        if table is not None:
            torch.view_as_complex(result.unflatten(-1, (-1, 2))).mul_(
                torch.view_as_complex(table).unsqueeze(1)
            )
        return result.transpose(1, 2).to(dtype, memory_format=torch.contiguous_format).transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, inverse, table = ctx.saved_tensors
        grad = grad.to(torch.float32, memory_format=torch.contiguous_format, copy=True)  # (B, L, H, E)
        if table is not None:
            torch.view_as_complex(grad.unflatten(-1, (-1, 2))).mul_(
                torch.view_as_complex(table).unsqueeze(1).conj()
            )
        grad, wide, inverse = grad.flatten(2).flatten(0, 1), x.float().flatten(0, 1), inverse.flatten(0, 1)
        product = grad * wide  # (N, D)
        wide_weight = weight.float()
        along = product.mv(wide_weight).unsqueeze(1) * inverse.pow(3) / x.shape[-1]  # (N, 1)
        grad_weight = product.t().mv(inverse.squeeze(1)).to(weight.dtype) if ctx.needs_input_grad[1] else None
        grad_x = grad.mul_(wide_weight).mul_(inverse).addcmul_(wide, along, value=-1)
        return grad_x.to(x.dtype).view_as(x), grad_weight, None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, weight: Tensor | None, *constant: None) -> Tensor:
        """``R w (r u - x r^3 mean(x u))`` for a tangent ``u`` of ``x``; the weights have none."""
        assert weight is None, "norm_rotate has no forward derivative with respect to its weights"
        x, of_weight, inverse, table = ctx.saved_tensors
        wide, u = x.float(), tangent.float()
        along = (wide * u).mean(-1, keepdim=True) * inverse.pow(3)  # (B, L, 1)
        change = (u * inverse).addcmul_(wide, along, value=-1).mul_(of_weight)
        return NormRotate._arrange(change, ctx.heads, table, x.dtype)


class TanhGelu(torch.autograd.Function):
    """GELU's tanh form as ``x sigmoid(z)`` with ``z = sqrt(8 / pi) (x + 0.044715 x^3)``, in float32.

    It is the same function, since ``(1 + tanh(z / 2)) / 2 = sigmoid(z)``, and a sigmoid costs a fifth of a
    tanh. Pieces that stay in the cache save the page faults of large temporaries.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        result = torch.empty_like(x)
        for piece, target in zip(x.view(-1).split(_PIECE), result.view(-1).split(_PIECE), strict=True):
            wide = piece.float()
            gate = wide * wide
            torch.addcmul(wide, wide, gate, value=_CUBIC, out=gate).mul_(_SQRT_8_OVER_PI).sigmoid_()
            torch.mul(wide, gate, out=target)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.gelu_backward(grad, x, approximate="tanh")

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        """The derivative is diagonal, so forward and backward are one product."""
        (x,) = ctx.saved_tensors
        return torch.ops.aten.gelu_backward(tangent.contiguous(), x, approximate="tanh")


def add_scaled(base: Tensor, x: Tensor, factor: Tensor) -> Tensor:
    """``base + x factor`` of tensors that broadcast to the shape of ``x``."""
    if torch.compiler.is_compiling():  # its tracer knows no forward derivatives, and fuses this by itself
        return torch.addcmul(base, x, factor)
    return AddScaled.apply(base, x, factor)  # type: ignore[reportReturnType]


def tanh_gelu(x: Tensor) -> Tensor:
    """GELU in its tanh form, ``x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2``."""
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        return TanhGelu.apply(x)  # type: ignore[reportReturnType]
    return F.gelu(x, approximate="tanh")


def norm_rotate(x: Tensor, weight: Tensor, eps: float, heads: int, table: Tensor | None) -> Tensor:
    """Root-mean-square norm over the width, split into heads, and rotary positions.

    Args:
        x: shape (B, L, D).
        weight: shape (D,).
        eps: added to the mean square.
        heads: number of heads.
        table: cosines and sines, float32, shape (L, E / 2, 2), or None for no rotation.

    Returns:
        Shape (B, L, H, E), in the type of ``x``.
    """
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        return NormRotate.apply(x, weight, eps, heads, table)  # type: ignore[reportReturnType]
    # The weight in the input's type keeps torch on its fused kernel, also under autocast.
    split = F.rms_norm(x, weight.shape, weight.to(x.dtype), eps).to(x.dtype).unflatten(-1, (heads, -1))
    return split if table is None else rotate(split, table)

"""The gradient of an upper loss with respect to gates, where the weights follow a lower loss.

``min over a of phi(w*(a), a)`` with ``w*(a)`` a minimiser of ``f(., a)``: a the gates, w the weights. With
H the Hessian of f in w and P its mixed derivative, the exact gradient is
``grad_a phi - P^T H^-1 grad_w phi`` (implicit function theorem).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: How the implicit term is had: left out, from gradients alone, or from second derivatives.
Hypergradient = Literal["rank_one", "first_order", "cg"]
#: The rank-one term is never longer than this many gradients of the upper loss.
MULTIPLIER_LIMIT = 10.0
#: The code that torch puts around every backward pass that is marked so.
_ONCE = once_differentiable(lambda _: None).__code__  # pyright: ignore[reportFunctionMemberAccess]


def hypergradient(
    upper_loss: Tensor,
    lower_loss: Tensor,
    gates: Iterable[Tensor],
    weights: Iterable[Tensor],
    mode: Hypergradient = "rank_one",
    *,
    cg_steps: int = 100,
    damping: float = 0.0,
) -> list[Tensor]:
    """The hypergradient of the upper loss.

    - ``first_order``: ``grad_a phi``, as if the weights did not follow the gates.
    - ``rank_one``: ``grad_a phi + lambda grad_a f`` with the multiplier
      ``lambda = -(grad_w phi . grad_w f) / |grad_w f|^2`` (BiLaLoRA, arXiv 2603.10872, equation 7): H and P
      are replaced by outer products of gradients. Exact where f sees gates and weights through one
      residual. Where ``grad_w f`` is zero so is lambda, and ``|lambda|`` is bounded by
      :data:`MULTIPLIER_LIMIT` times the ratio of the lengths of the whole gradients of phi and f: the result
      does not change with the scale of f, and stays bounded at a minimum of f, where lambda is 0 / 0.
    - ``cg``: the exact one, ``H x = grad_w phi`` solved by conjugate gradients. They end early at a direction
      along which f does not curve upwards.

    Args:
        upper_loss: phi, a scalar with graph.
        lower_loss: f, a scalar with graph, on other data than phi.
        gates: a, with gradient.
        weights: w, with gradient, none of them a gate.
        mode: see above.
        cg_steps: products with H, at most.
        damping: added to the diagonal of H in ``cg``.

    Returns:
        One tensor a gate, in its shape. Gates that a loss does not reach count as zero in it.

    Raises:
        ValueError: an unknown mode, a loss that is no scalar or has no graph, a tensor without gradient or
            that is both gate and weight, or ``cg`` through a layer that cannot be differentiated twice.
    """
    check_mode(mode)
    gates, weights = list(gates), list(weights)
    _check_tensors(gates, weights)
    upper = gradients(upper_loss, [*gates, *weights], "upper_loss")
    return implicit(upper, lower_loss, gates, weights, mode, cg_steps=cg_steps, damping=damping)[0]


def implicit(
    upper: Sequence[Tensor],
    lower_loss: Tensor,
    gates: Sequence[Tensor],
    weights: Sequence[Tensor],
    mode: Hypergradient,
    *,
    cg_steps: int,
    damping: float,
) -> tuple[list[Tensor], Tensor | None]:
    """:func:`hypergradient` from the gradients of the upper loss, gates first; and the multiplier lambda."""
    by_gates, by_weights = list(upper[: len(gates)]), list(upper[len(gates) :])
    if mode == "first_order":
        return by_gates, None
    if mode == "rank_one":
        lower = gradients(lower_loss, [*gates, *weights], "lower_loss")
        multiplier = _multiplier(upper, by_weights, lower, lower[len(gates) :])
        return [g + multiplier.to(g) * h for g, h in zip(by_gates, lower, strict=False)], multiplier
    try:
        mixed = _mixed_inverse(lower_loss, gates, weights, by_weights, cg_steps, damping)
    except RuntimeError as error:
        if "derivative" not in str(error) and "differentiate" not in str(error):
            raise
        raise ValueError(
            f"hypergradient 'cg' differentiates the lower loss twice, which a layer of the network does not "
            f"offer ({error}); use 'rank_one', or plain attention and layers"
        ) from error
    return [g - m for g, m in zip(by_gates, mixed, strict=True)], None


def check_mode(mode: str) -> None:
    """ValueError for a mode that does not exist."""
    if mode not in get_args(Hypergradient):
        raise ValueError(
            f"hypergradient {mode!r} does not exist; use one of {', '.join(get_args(Hypergradient))}"
        )


def gradients(
    loss: Tensor, tensors: Sequence[Tensor], name: str, create_graph: bool = False
) -> tuple[Tensor, ...]:
    """Gradients of a scalar, zero for what it does not depend on; nothing is accumulated anywhere."""
    if loss.numel() != 1 or not loss.requires_grad:
        found = "no graph" if loss.numel() == 1 else f"the shape {tuple(loss.shape)}"
        raise ValueError(f"{name} has {found}; expected a scalar computed from the gates and weights")
    return torch.autograd.grad(
        loss, tensors, retain_graph=True, create_graph=create_graph, allow_unused=True, materialize_grads=True
    )


def _check_tensors(gates: Sequence[Tensor], weights: Sequence[Tensor]) -> None:
    if not gates or not weights:
        raise ValueError(f"found {len(gates)} gates and {len(weights)} weights; expected some of both")
    if still := [tensor for tensor in (*gates, *weights) if not tensor.requires_grad]:
        raise ValueError(
            f"{len(still)} of {len(gates)} gates and {len(weights)} weights have no gradient, one of shape "
            f"{tuple(still[0].shape)}; set requires_grad before the losses are computed"
        )
    if both := {id(gate) for gate in gates} & {id(weight) for weight in weights}:
        raise ValueError(
            f"{len(both)} of the {len(gates)} gates are also among the weights; the two levels must not "
            "share a tensor"
        )


def _dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Inner product over several tensors, in float32 at least."""
    wide = torch.promote_types(a[0].dtype, torch.float32)
    return torch.stack([(x.to(wide) * y.to(wide)).sum() for x, y in zip(a, b, strict=True)]).sum()


def _multiplier(
    upper: Sequence[Tensor], upper_w: Sequence[Tensor], lower: Sequence[Tensor], lower_w: Sequence[Tensor]
) -> Tensor:
    """The Lagrange multiplier by least squares, argmin of ``|grad_w phi + lambda grad_w f|``, bounded."""
    square, whole = _dot(lower_w, lower_w), _dot(lower, lower)
    zero = torch.zeros_like(square)
    multiplier = torch.where(square > 0, -_dot(upper_w, lower_w) / square, zero)
    bound = torch.where(whole > 0, MULTIPLIER_LIMIT * (_dot(upper, upper) / whole).sqrt(), zero)
    return multiplier.clamp(-bound, bound)


def _check_twice_differentiable(loss: Tensor) -> None:
    """RuntimeError where a function with a backward pass written by hand has no second derivative.

    autograd takes it for zero, without a word, when it is asked for the gradient of some tensors only.
    """
    seen: set[Any] = set()
    waiting = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        backward = getattr(getattr(node, "_forward_cls", None), "backward", None)
        if getattr(backward, "__code__", None) is _ONCE:
            raise RuntimeError(f"{node.name()} has no second derivative")
        seen.add(node)
        waiting += [earlier for earlier, _ in node.next_functions]


def _mixed_inverse(
    lower_loss: Tensor,
    gates: Sequence[Tensor],
    weights: Sequence[Tensor],
    right: Sequence[Tensor],
    steps: int,
    damping: float,
) -> tuple[Tensor, ...]:
    """``P^T (H + damping)^-1 right`` by conjugate gradients."""
    _check_twice_differentiable(lower_loss)
    lower_w = gradients(lower_loss, weights, "lower_loss", create_graph=True)
    # A weight in which f is linear has a gradient without graph, and no second derivative.
    curved = [h for h in lower_w if h.requires_grad]
    if not curved:
        return tuple(torch.zeros_like(gate) for gate in gates)

    def product(vector: Sequence[Tensor], tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        kept = [v for v, h in zip(vector, lower_w, strict=True) if h.requires_grad]
        return torch.autograd.grad(
            curved, tensors, kept, retain_graph=True, allow_unused=True, materialize_grads=True
        )

    solution = [torch.zeros_like(r) for r in right]
    residual = direction = [r.clone() for r in right]
    square = start = _dot(residual, residual)
    for _ in range(steps):
        if square <= 1e-24 * start:
            break
        curved_direction = [
            h + damping * d for h, d in zip(product(direction, weights), direction, strict=True)
        ]
        curvature = _dot(direction, curved_direction)
        if curvature <= 0:
            break
        length = square / curvature
        solution = [s + length.to(s) * d for s, d in zip(solution, direction, strict=True)]
        residual = [r - length.to(r) * h for r, h in zip(residual, curved_direction, strict=True)]
        previous, square = square, _dot(residual, residual)
        direction = [r + (square / previous).to(r) * d for r, d in zip(residual, direction, strict=True)]
    return product(solution, gates)

"""The losses of CDM (Continuous-Time Distribution Matching, arXiv 2605.06376).

The student's prediction x_0 at some input is pushed along a direction Delta that frozen networks give at
a re-noised copy z = (1 - tau) x_0 + tau e of it:

    CA         Delta = alpha (D_real(z, tau, c) - D_real(z, tau, null))       guidance_loss
    DM, CDM    Delta = D_real(z, tau, c) - D_fake(z, tau, c)                  distribution_matching_loss

where D(x, t, c) = x - t v(x, t, c). All divide Delta by the same scale and take the same square, whose
gradient with respect to x_0 is -2 g / (B n), g = Delta / w; the loss itself is mean(g^2), which says how
hard the student is pushed and not how far it has come.

The path gives D_real - D_fake = t^2 / (1 - t) (score_real - score_fake): DM is the gradient of a
Kullback-Leibler divergence (DMD, Yin et al. 2023), of which CA and DM are the two parts (Decoupled DMD).

Legend: B batch; ``...`` the latent's further dimensions, n their number of elements.
"""

from typing import Literal

import torch
from torch import Tensor

#: Over what the mean of the normaliser goes: each sample by itself, or the whole batch.
NormOver = Literal["sample", "batch"]


def guidance_loss(
    x0_student: Tensor,
    x0_cond: Tensor,
    x0_uncond: Tensor,
    guidance_scale: float,
    min_norm: float = 0.1,
    norm_over: NormOver = "sample",
) -> Tensor:
    """CA: teaches the student what classifier-free guidance adds.

    Args:
        x0_student: the student's prediction, shape (B, ...); the only one that gets a gradient.
        x0_cond: the teacher's at z with the prompt.
        x0_uncond: the teacher's at z with the empty prompt.
        guidance_scale: alpha, the whole scale (7 in the paper), not alpha - 1.
        min_norm: lower bound of the normaliser.
        norm_over: see :func:`direction_scale`.

    Returns:
        A scalar, at least float32.
    """
    direction = guidance_scale * (_full(x0_cond) - _full(x0_uncond))
    return _push(x0_student, direction, x0_cond, min_norm, norm_over)


def distribution_matching_loss(
    x0_student: Tensor,
    x0_real: Tensor,
    x0_fake: Tensor,
    min_norm: float = 0.1,
    norm_over: NormOver = "sample",
) -> Tensor:
    """DM at an anchor of the rollout, CDM at an input off the trajectory.

    Args:
        x0_student: the student's prediction, shape (B, ...); the only one that gets a gradient.
        x0_real: the teacher's at z, with the prompt and without guidance.
        x0_fake: the fake score network's at the same z.
        min_norm: lower bound of the normaliser.
        norm_over: see :func:`direction_scale`.

    Returns:
        A scalar, at least float32.
    """
    direction = _full(x0_real) - _full(x0_fake)
    return _push(x0_student, direction, x0_real, min_norm, norm_over)


def direction_scale(
    x0_student: Tensor, x0_real: Tensor, min_norm: float = 0.1, norm_over: NormOver = "sample"
) -> Tensor:
    """w = max(mean |D_real - x_0|, min_norm): how far the teacher's prediction is from the student's.

    The mean over few elements is noisy: in two dimensions use ``norm_over="batch"``.

    Returns:
        Shape (B, 1, ..., 1), or (1, ..., 1) over the batch; no gradient.
    """
    distance = (_full(x0_real) - _full(x0_student)).detach().abs()  # (B, ...)
    dimensions = tuple(range(1 if norm_over == "sample" else 0, distance.ndim))
    return (distance.mean(dimensions, keepdim=True) + 1e-8).clamp(min=min_norm)


def _push(
    x0_student: Tensor, direction: Tensor, x0_real: Tensor, min_norm: float, norm_over: NormOver
) -> Tensor:
    """``mean (x_0 - sg(x_0 + g))^2`` with ``g = Delta / w``; elements of g that are not finite count as 0."""
    x0 = _full(x0_student)
    g = direction / direction_scale(x0, x0_real, min_norm, norm_over)
    g = torch.nan_to_num(g, nan=0.0, posinf=0.0, neginf=0.0)
    return (x0 - (x0 + g).detach()).square().mean()


def _full(x: Tensor) -> Tensor:
    """At least float32; float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))

"""Student inputs beside the rollout (CDM, arXiv 2605.06376, Eq. 7)."""

from torch import Tensor

from vision.flow.path import Time, expand_time


def off_trajectory(x_anchor: Tensor, v_anchor: Tensor, sigma_anchor: Time, sigma: Time) -> Tensor:
    """Slides an anchor of the rollout along its own velocity to another time.

        x' = x_i + (s - sigma_i) v_i = (1 - s) x0_i + s e_i,

    towards the data for s < sigma_i, towards the noise for s > sigma_i. Nothing is propagated back
    through it: the student learns at x', not by way of it.

    Args:
        x_anchor: latents of the rollout at the anchor, shape (B, ...).
        v_anchor: the student's velocity there.
        sigma_anchor: the anchor's time, a number or shape (B,).
        sigma: the time s of the new input, a number or shape (B,).

    Returns:
        x', shape (B, ...), without gradient.
    """
    stride = expand_time(sigma, x_anchor) - expand_time(sigma_anchor, x_anchor)
    return (x_anchor + stride * v_anchor).detach()

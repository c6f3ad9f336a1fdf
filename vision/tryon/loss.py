"""The training loss of iTryOn.

Legend: B clips, C channels, F latent frames, H height, W width of the latents.
"""

import torch
from torch import Tensor

#: What the weighted term is divided by: the number of all elements, or of those under the mask.
NORMS = ("all", "mask")


def action_constraint_loss(
    velocity: Tensor, target: Tensor, action_mask: Tensor, weight: float = 0.5, norm: str = "all"
) -> Tensor:
    """Flow matching that counts the frames of actions more (action-aware constraint, arXiv 2605.21431).

    ``L = E |v' - v|^2 + weight E |M (v' - v)|^2``, in float32. With ``norm="all"`` both means are over all
    elements, so that a frame of an action weighs ``1 + weight`` times another; with ``"mask"`` the second is
    over the elements under the mask, and 0 where there are none.

    The frame of the garment belongs in neither term: see
    :func:`vision.tryon.reference.without_reference`.

    Args:
        velocity: predicted, shape (B, C, F, H, W).
        target: ``e - x_0``, same shape.
        action_mask: 1 or true on latent frames of actions, shape (F,), (B, F), or, with more axes, one that
            broadcasts to (B, C, F, H, W).
        weight: of the second term, at least 0.
        norm: "all" or "mask".

    Returns:
        A scalar.

    Raises:
        ValueError: shapes that do not fit, a negative weight, another norm.
    """
    if velocity.shape != target.shape or velocity.ndim != 5:
        raise ValueError(
            f"velocity has shape {tuple(velocity.shape)}, target {tuple(target.shape)}; expected the same "
            "(clips, channels, latent frames, height, width)"
        )
    if norm not in NORMS:
        raise ValueError(f"norm is {norm!r}; expected one of {NORMS}")
    if weight < 0:
        raise ValueError(f"the weight of the action term is {weight}; expected at least 0")
    mask = _mask_of_elements(action_mask, velocity)
    error = (velocity.float() - target.float()).square()
    plain = error.mean()
    masked = error * mask
    if norm == "all":
        return plain + weight * masked.mean()
    return plain + weight * masked.sum() / mask.expand_as(error).sum().clamp(min=1)


def _mask_of_elements(mask: Tensor, like: Tensor) -> Tensor:
    """The mask as float32 that broadcasts to (B, C, F, H, W)."""
    clips, _, frames, _, _ = like.shape
    shaped = mask
    if tuple(mask.shape) in ((frames,), (1, frames), (clips, frames)):
        shaped = mask.reshape(-1, 1, frames, 1, 1)
    axes = [1] * (5 - shaped.ndim) + list(shaped.shape)
    fits = len(axes) == 5 and all(
        found in (1, wanted) for found, wanted in zip(axes, like.shape, strict=True)
    )
    if (mask.ndim < 3 and shaped is mask) or not fits:
        raise ValueError(
            f"action_mask has shape {tuple(mask.shape)}; expected ({frames},), ({clips}, {frames}), "
            f"or one that broadcasts to {tuple(like.shape)}"
        )
    return shaped.to(like.device, torch.float32)

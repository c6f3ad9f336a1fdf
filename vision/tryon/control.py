"""What the context blocks read: the person without the garment, the skeleton, the mask, the new garment.

Legend: B clips, T frames, H height, W width of the pixels; c, F, h, w the same of the latents; s pixels of a
side to one of the latents.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vision.latents import encode, spatial_factor, temporal_factor
from vision.tryon.reference import with_reference


def compose(video: Tensor, mask: Tensor, pose: Tensor) -> Tensor:
    """``M pose + (1 - M) video``: the skeleton where something is made, the video elsewhere.

    Nothing of the video under the mask and nothing of the pose outside it remains.

    Args:
        video: in [-1, 1], shape (B, 3, T, H, W).
        mask: 1 where something is made, 0 elsewhere, shape (B, 1, T, H, W).
        pose: in [-1, 1], shape of ``video``.
    """
    return torch.where(mask > 0.5, pose, video)


def control_latents(
    vae: Any, video: Tensor, mask: Tensor, pose: Tensor, garment: Tensor, split: bool = True
) -> Tensor:
    """Encodes the conditions as VACE does (arXiv 2503.07598, section 3.2), the garment first.

    With ``X = compose(video, M, pose)``: latents of ``X (1 - M)``, of ``X M``, where 0 is mid-grey, and the
    mask's pixels as channels. The garment's frame has zeros beside its latent.

    Args:
        vae: a video autoencoder, as for :func:`vision.latents.encode`.
        video: in [-1, 1], shape (B, 3, T, H, W).
        mask: shape (B, 1, T, H, W).
        pose: shape of ``video``.
        garment: on white, shape (B, 3, 1, H, W).
        split: whether the two parts are encoded apart; else ``X`` is, once, and the channels are c + s s.

    Returns:
        float32, shape (B, 2 c + s s, 1 + F, h, w).
    """
    mixed = compose(video, mask, pose)
    parts = [mixed * (1 - mask), mixed * mask] if split else [mixed]
    latents = torch.cat([encode(vae, part) for part in parts], dim=1)
    reference = encode(vae, garment)
    channels = mask_channels(mask, spatial_factor(vae), temporal_factor(vae)).to(latents)
    return join_control(latents, channels, reference)


def join_control(latents: Tensor, mask: Tensor, reference: Tensor) -> Tensor:
    """Channels of the context, and before them the garment with zeros beside it.

    Args:
        latents: of the one or two parts, shape (B, c or 2 c, F, h, w).
        mask: of :func:`mask_channels`, shape (B, s s, F, h, w).
        reference: the garment's latent, shape (B, c, 1, h, w).
    """
    control = torch.cat([latents, mask], dim=1)
    missing = control.shape[1] - reference.shape[1]
    return with_reference(control, F.pad(reference, (0, 0, 0, 0, 0, 0, 0, missing)))


def mask_channels(mask: Tensor, space: int, time: int) -> Tensor:
    """The mask in the size of the latents: the pixels of a latent as channels, of frames the nearest.

    Args:
        mask: shape (B, 1, T, H, W).
        space: s.
        time: frames of a latent frame, after the first.

    Returns:
        Shape (B, s s, F, h, w), row by row.
    """
    pixels = mask[:, 0].unflatten(3, (-1, space)).unflatten(2, (-1, space))  # (B, T, h, s, w, s)
    channels = pixels.permute(0, 3, 5, 1, 2, 4).flatten(1, 2)  # (B, s s, T, h, w)
    frames = 1 + (mask.shape[2] - 1) // time
    return F.interpolate(channels.float(), (frames, *channels.shape[3:]), mode="nearest-exact")

"""PSNR and SSIM of pictures and videos, by scikit-image.

Legend: B samples, C channels, F frames, H height, W width.
"""

from typing import Any

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

# As in the paper: Gaussian windows of sigma 1.5 and population variances.
_SSIM: dict[str, Any] = {
    "channel_axis": 0,
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
}


def psnr(reference: Tensor, found: Tensor, data_range: float = 2.0) -> Tensor:
    """Peak signal-to-noise ratio of each sample in dB; infinite for equal ones.

    Args:
        reference, found: shape (B, C, H, W) or (B, C, F, H, W); a video is measured as a whole.
        data_range: distance between black and white; 2 for pixels in [-1, 1], 1 for [0, 1].

    Returns:
        float64 of shape (B,).
    """
    pairs = zip(_frames(reference, found), _frames(found, reference), strict=True)
    values = []
    for a, b in pairs:
        with np.errstate(divide="ignore"):
            values.append(float(peak_signal_noise_ratio(a, b, data_range=data_range)))
    return torch.tensor(values, dtype=torch.float64)


def ssim(reference: Tensor, found: Tensor, data_range: float = 2.0) -> Tensor:
    """Structural similarity (Wang et al. 2004) of each sample, the mean over its frames; 1 for equal ones.

    Gaussian windows of sigma 1.5 and population variances, as in the paper.

    Args:
        reference, found: shape (B, C, H, W) or (B, C, F, H, W), H and W at least 11.
        data_range: distance between black and white; 2 for pixels in [-1, 1], 1 for [0, 1].

    Returns:
        float64 of shape (B,).
    """
    if min(reference.shape[-2:]) < 11:
        raise ValueError(f"SSIM needs pictures of at least 11 x 11, found {tuple(reference.shape[-2:])}")
    values = [
        np.mean(
            [structural_similarity(x, y, data_range=data_range, **_SSIM) for x, y in zip(a, b, strict=True)]
        )
        for a, b in zip(_frames(reference, found), _frames(found, reference), strict=True)
    ]
    return torch.tensor(np.array(values), dtype=torch.float64)


def ssim_inside_outside(
    reference: Tensor, found: Tensor, mask: Tensor, data_range: float = 2.0
) -> tuple[Tensor, Tensor]:
    """Structural similarity of each video apart inside and outside a mask.

    The means of its map, which has a value for the window around each pixel, over the pixels of all frames.

    Args:
        reference, found: shape (B, C, F, H, W), H and W at least 11.
        mask: bool, shape (B, 1, F, H, W).
        data_range: as for :func:`ssim`.

    Returns:
        Inside and outside, float64 of shape (B,); NaN where there are no such pixels.
    """
    inside, outside = [], []
    for a, b, where in zip(
        _frames(reference, found), _frames(found, reference), mask[:, 0].cpu().numpy(), strict=True
    ):
        maps = np.stack(
            [
                structural_similarity(x, y, data_range=data_range, full=True, **_SSIM)[1].mean(0)
                for x, y in zip(a, b, strict=True)
            ]
        )
        inside.append(maps[where].mean() if where.any() else np.nan)
        outside.append(maps[~where].mean() if not where.all() else np.nan)
    return torch.tensor(inside, dtype=torch.float64), torch.tensor(outside, dtype=torch.float64)


def _frames(pixels: Tensor, other: Tensor) -> np.ndarray:
    """As float64 of shape (B, F, C, H, W)."""
    if pixels.shape != other.shape or pixels.ndim not in (4, 5):
        raise ValueError(
            f"expected two batches of one shape, (B, C, H, W) or (B, C, F, H, W); found "
            f"{tuple(pixels.shape)} and {tuple(other.shape)}"
        )
    values = pixels.detach().cpu().double().numpy()
    return values[:, None] if values.ndim == 4 else values.swapaxes(1, 2)

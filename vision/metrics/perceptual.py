"""A perceptual distance of pictures in the features of an ImageNet network.

Legend: B pictures, H height, W width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vision.metrics.efficientnet_lite import NAME, STAGES, stage_maps

#: What tables call :func:`perceptual_distance`; it is not comparable with LPIPS of other networks.
PERCEPTUAL_NAME = f"perceptual distance ({NAME}, unweighted)"


@torch.no_grad()
def perceptual_distance(network: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """LPIPS's distance (Zhang et al. 2018, equation 1) with all channel weights one.

    The features of each place, scaled to length 1, are compared by their squared difference, which is
    averaged over places and summed over four stages. 0 for equal pictures, at most 16.

    Args:
        network: of :func:`vision.metrics.efficientnet_lite.efficientnet_lite`.
        a: in [0, 1], shape (B, 3, H, W), as large as the pictures are: nothing is resized.
        b: likewise.

    Returns:
        float64 of shape (B,).
    """
    stages = sorted(STAGES)
    total = torch.zeros(len(a), dtype=torch.float64)
    pairs = zip(stage_maps(network, a, stages), stage_maps(network, b, stages), strict=True)
    for first, second in pairs:
        difference = F.normalize(first, dim=1) - F.normalize(second, dim=1)
        total += difference.square().sum(1).mean((1, 2)).double().cpu()
    return total

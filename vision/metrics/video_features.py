"""Features of short videos for a Fréchet distance, without a network trained on videos.

Legend: T frames, H height, W width, N windows, C = 40 channels, D = 2 C features.
"""

import torch
from torch import Tensor, nn

from vision.metrics.efficientnet_lite import NAME, STAGES, stage_maps
from vision.metrics.frechet import frechet_distance
from vision.metrics.statistics import FeatureStatistics

#: Frames of a window.
WINDOW = 8
_STAGE = 8
#: D.
DIMENSION = 2 * STAGES[_STAGE][1]
#: What tables call a Fréchet distance of these features; it is not comparable with that of other networks.
FRECHET_VIDEO_NAME = (
    f"Fréchet video distance ({NAME}, {DIMENSION // 2} maps at 1/{_STAGE}: their means and changes over "
    f"{WINDOW} frames)"
)


@torch.no_grad()
def video_features(network: nn.Module, video: Tensor) -> Tensor:
    """What the windows of a video look like and how they change.

    Of the maps at an eighth of the size, averaged over places: the mean over a window, and the mean size of
    the change from frame to frame of the maps themselves, place by place.

    Args:
        network: of :func:`vision.metrics.efficientnet_lite.efficientnet_lite`.
        video: in [0, 1], shape (T, 3, H, W); windows do not overlap, and frames after the last whole one are
            left out.

    Returns:
        float32, shape (N, D).
    """
    found = []
    for start in range(0, len(video) - WINDOW + 1, WINDOW):
        window = video[start : start + WINDOW]
        (maps,) = stage_maps(network, window, [_STAGE])
        found.append(torch.cat([maps.mean((0, 2, 3)), maps.diff(dim=0).abs().mean((0, 2, 3))]))
    return torch.stack(found) if found else torch.zeros(0, DIMENSION)


def frechet_video_distance(made: Tensor, true: Tensor) -> float | None:
    """Fréchet distance of two sets of :func:`video_features`; None for fewer windows than it takes.

    Args:
        made: shape (N, D).
        true: likewise, any number.
    """
    if min(len(made), len(true)) <= DIMENSION:
        return None
    sides = []
    for features in (made, true):
        sides.append(FeatureStatistics(DIMENSION))
        sides[-1].update(features)
    return frechet_distance(*sides)

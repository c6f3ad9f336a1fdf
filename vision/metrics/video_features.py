"""Features of short videos for a Fréchet distance, without a network trained on videos.

Legend: T frames, H height, W width, N windows, C = 40 channels, D = 2 C features.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vision.metrics.efficientnet_lite import NAME, STAGES, stage_maps
from vision.metrics.frechet import frechet_distance
from vision.metrics.statistics import FeatureStatistics

#: Frames of a window.
WINDOW = 8
_STAGE = 8
# That are left out in turn for the standard error of a distance.
_GROUPS = 8
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


def frechet_video_distance(
    made: Sequence[Tensor], true: Sequence[Tensor]
) -> tuple[float | None, float | None]:
    """Fréchet distance of two sets of videos, and its standard error.

    The error is a jackknife's: ``g`` groups of videos are left out in turn, and it is the root of
    ``(g - 1) / g`` times the sum of the squares by which the distances differ from their mean.

    Args:
        made: :func:`video_features` of each video, shape (N, D).
        true: likewise, of the same videos in the same order.

    Returns:
        Both None for fewer windows than they take.
    """
    groups = min(_GROUPS, len(made))
    rest = [
        _distance(*([f for n, f in enumerate(side) if n % groups != left] for side in (made, true)))
        for left in range(groups)
    ]
    known = [distance for distance in rest if distance is not None]
    error = None
    if len(known) == groups > 1:
        middle = sum(known) / groups
        error = ((groups - 1) / groups * sum((distance - middle) ** 2 for distance in known)) ** 0.5
    return _distance(made, true), error


def _distance(made: Sequence[Tensor], true: Sequence[Tensor]) -> float | None:
    sides = []
    for videos in (made, true):
        features = torch.cat(list(videos)) if videos else torch.zeros(0, DIMENSION)
        if len(features) <= DIMENSION:
            return None
        sides.append(FeatureStatistics(DIMENSION))
        sides[-1].update(features)
    return frechet_distance(*sides)

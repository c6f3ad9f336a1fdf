"""The conditions of try-on for a real video: mask, pose and hands, estimated or as the user has them.

Legend: F frames, H height, W width in pixels.
"""

import warnings
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vision.tryon.hand_render import hand_picture
from vision.tryon.preparing.estimates import FrameEstimate, PersonEstimator
from vision.tryon.preparing.mask import Part, agnostic_mask
from vision.tryon.preparing.tracks import as_ranges, closed_gaps, held_ends
from vision.tryon.skeleton import draw_skeleton

_SIDES = ("Left", "Right")
_VISIBLE = 0.3


class Estimated(NamedTuple):
    """Conditions of a video.

    Attributes:
        mask: bool, shape (1, F, H, W); True is to be generated.
        pose: skeletons on black, uint8, shape (3, F, H, W).
        hand: shaded hands on black, likewise.
    """

    mask: Tensor
    pose: Tensor
    hand: Tensor


def estimated_conditions(
    frames: Iterable[np.ndarray], part: Part, name: str, only_hands: bool = False
) -> Estimated:
    """Estimates the conditions of a video, frame by frame.

    Hands and bodies that are lost for at most four frames are interpolated. A body that is lost for longer
    holds its nearest known points, with a warning; a hand that is lost for longer is not drawn. Where hands
    are never found, their video is black, with a warning.

    Args:
        frames: uint8 RGB, shape (H, W, 3) each, in order.
        part: of the body that the garment covers.
        name: of the video, for messages.
        only_hands: mask and pose are not wanted: they stay black, and a video without a body is taken.

    Raises:
        ValueError: no person is found in any frame.
        ModuleNotFoundError: MediaPipe is not installed.
    """
    with PersonEstimator() as estimator:
        estimates = [estimator.estimate(frame) for frame in frames]
    return drawn_conditions(estimates, part, name, only_hands)


def drawn_conditions(
    estimates: list[FrameEstimate], part: Part, name: str, only_hands: bool = False
) -> Estimated:
    """Draws the conditions from estimates, one a frame; see :func:`estimated_conditions`."""
    bodies = [None] * len(estimates) if only_hands else _bodies(estimates, name)
    tracks = {side: closed_gaps([estimate.hands.get(side) for estimate in estimates]) for side in _SIDES}
    if all(points is None for track in tracks.values() for points in track):
        warnings.warn(
            f"{name}: no hands found in any of {len(estimates)} frames; the hand video is black, so that "
            "only the text tells what hands do",
            stacklevel=2,
        )
    masks, poses, pictures = [], [], []
    for frame, (estimate, body) in enumerate(zip(estimates, bodies, strict=True)):
        height, width = estimate.person.shape
        hands = [points for side in _SIDES if (points := tracks[side][frame]) is not None]
        pictures.append(hand_picture(hands, height, width))
        if body is None:
            masks.append(np.zeros((height, width), bool))
            poses.append(np.zeros((height, width, 3), np.uint8))
            continue
        shown = np.where(body[:, 2:] >= _VISIBLE, body[:, :2], np.nan)
        masks.append(agnostic_mask(body, hands, estimate.person, part))
        poses.append(draw_skeleton(shown, hands, height, width))
    mask = torch.from_numpy(np.stack(masks))[None]
    pose, hand = (torch.from_numpy(np.stack(drawn)).permute(3, 0, 1, 2) for drawn in (poses, pictures))
    return Estimated(mask, pose, hand)


def _bodies(estimates: list[FrameEstimate], name: str) -> list[np.ndarray]:
    """A body for every frame; see :func:`estimated_conditions`."""
    found = closed_gaps([estimate.body for estimate in estimates])
    if all(body is None for body in found):
        raise ValueError(
            f"{name}: no person found in any of {len(estimates)} frames; the upper body must be seen, "
            "upright and not too small. Masks, poses and hands of your own are taken with --mask, --pose and "
            "--hand"
        )
    bodies, lost = held_ends(found)
    if lost:
        told = f"{name}: no person found in frames {as_ranges(lost)}; the nearest pose is held"
        warnings.warn(told, stacklevel=2)
    return bodies

"""A small data set of the studio that the tests of this folder share, and a film of a real person."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from vision.media.video import write_video
from vision.tryon.drawing.plan import StudioSettings, planned_clips
from vision.tryon.drawing.writer import StudioWriter, joined_records
from vision.tryon.hand_render import shade_hand
from vision.tryon.hand_shape import GRIPS, hand_landmarks, placed_hand
from vision.tryon.index import INDEX_NAME

SETTINGS = StudioSettings(unpaired="all")


@pytest.fixture(scope="session")
def studio_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips with their index."""
    folder = tmp_path_factory.mktemp("studio")
    plans = list(planned_clips(2, SETTINGS))
    writer = StudioWriter(folder, SETTINGS)
    for plan in plans:
        writer.record(plan)
    (folder / INDEX_NAME).write_text(joined_records(folder, plans), "utf-8")
    return folder


def astronaut_film(hand_from: int | None, frames: int = 9) -> np.ndarray:
    """A slow zoom at the photograph of an astronaut, uint8 (F, 256, 256, 3).

    From frame ``hand_from`` on a hand of flesh colour moves before her, since hers are hidden.
    """
    photograph = skimage.data.astronaut()
    film = []
    for number in range(frames):
        side, left = 512 - 6 * number, 2 * number
        frame = cv2.resize(photograph[:side, left : left + side], (256, 256), interpolation=cv2.INTER_AREA)
        if hand_from is not None and number >= hand_from:
            landmarks = film_hand(number)
            hand = shade_hand(landmarks, 256, 256)
            flesh = (0.42 + 0.72 * hand.brightness)[..., None] * np.array([0.93, 0.75, 0.62])
            frame[hand.covered] = (255 * np.clip(flesh, 0, 1))[hand.covered]
        film.append(frame)
    return np.stack(film)


def film_hand(number: int) -> np.ndarray:
    """Landmarks of the hand in frame ``number`` of the film, in pixels."""
    shape = hand_landmarks(np.array(GRIPS["open"]), 0.2) * 85
    return placed_hand(shape, np.array([80.0 + 2 * number, 215.0]), np.array([0.4, -1.0]), mirrored=False)


def write_frames(frames: np.ndarray, path: Path) -> Path:
    """A video of frames, uint8 (F, H, W, 3)."""
    write_video(torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2), path, 16, 6, "veryfast")
    return path

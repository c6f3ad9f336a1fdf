"""What is seen and held while someone records.

Legend: T frames, H height, W width.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vision.world.clip_folder import write_clip_folder
from vision.world.gamepad import STICKS

# Ten minutes of 64 x 64 at 20 frames a second are 147 MB.
_MOST_BYTES = 512 * 2**20


class Recording:
    """Frames and the rows that lead from each to the next, from one frame on.

    Args:
        frame: the last one seen, uint8, shape (H, W, 3).
        rows: those that were given already and lead on from it, shape (0 or more, 10).
    """

    def __init__(self, frame: np.ndarray, rows: np.ndarray) -> None:
        self._frames, self._rows = [frame[None]], [rows]
        self._bytes = 0

    def add(self, frames: np.ndarray, rows: np.ndarray) -> None:
        """The next frames (T, H, W, 3) and the rows that were given for them (T or T - 1, 10)."""
        self._frames.append(frames)
        self._rows.append(rows)
        self._bytes += frames.nbytes

    @property
    def is_full(self) -> bool:
        """Whether it has to end, or it would fill the memory."""
        return self._bytes >= _MOST_BYTES

    def save(self, folder: Path, frame_rate: float, metadata: Mapping[str, Any]) -> int:
        """Writes a clip in CrossFPS's layout, whole or not at all; returns its frames, 0 where there is none.

        Args:
            folder: of the clip.
            frame_rate: frames a second.
            metadata: for its ``metadata.json``, beside its identity.
        """
        if len(self._frames) < 2:
            return 0
        frames, rows = np.concatenate(self._frames), np.concatenate(self._rows)
        count = len(frames)
        # No row leads on from the last frame; CrossFPS has one all the same, which is not read.
        rows = rows[np.minimum(np.arange(count), len(rows) - 1)]
        identity = {"uuid": folder.name, "chunk_id": 0, "chunk_size": count}
        write_clip_folder(
            folder,
            frames,
            rows[:, : len(STICKS)],
            rows[:, len(STICKS) :],
            frame_rate=frame_rate,
            logged={},
            metadata={**identity, **metadata},
        )
        return count

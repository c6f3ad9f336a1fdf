"""What a maker of clips is asked for.

Legend: T frames, H height, W width in pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vision.flow.draws import keyed_generator
from vision.tryon.evaluation.truth_clip import TruthClip

#: "paired": the garment that is worn, as planned. "moved": the same, one action commanded at another time.
#: "unpaired": another garment.
Kind = Literal["paired", "moved", "unpaired"]
KINDS: tuple[Kind, ...] = ("paired", "moved", "unpaired")


@dataclass(frozen=True)
class Request:
    """One clip that is asked for.

    Attributes:
        clip: whose conditions are given.
        kind: which of :data:`KINDS`.
    """

    clip: TruthClip
    kind: Kind

    @property
    def garment(self) -> np.ndarray:
        """Picture of the garment to put on, uint8, shape (H, W, 3)."""
        return self.clip.unpaired_garment if self.kind == "unpaired" else self.clip.garment

    @property
    def truth(self) -> np.ndarray:
        """What is wanted, uint8, shape (T, H, W, 3)."""
        clip = self.clip
        return {"paired": clip.video, "moved": clip.moved_video, "unpaired": clip.unpaired_video}[self.kind]

    @property
    def commands(self) -> list[tuple[int, int, str]]:
        """What the hands do when."""
        return self.clip.commands(self.kind == "moved")

    @property
    def seed(self) -> int:
        """Of the noise; one for all kinds, so that only what is asked for differs."""
        return int(keyed_generator(self.clip.plan.scene, "noise").integers(2**62))


#: What is made of a request: float32 in [0, 1], shape (T, H, W, 3).
Maker = Callable[[Request], np.ndarray]

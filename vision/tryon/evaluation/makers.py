"""What makes clips to be judged: a try-on, and what is compared with it.

Legend: T frames, H height, W width in pixels.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vision.latents import decode, encode
from vision.latents.cache import to_unit_range
from vision.tryon.evaluation.request import Maker, Request
from vision.tryon.parts import has_guider
from vision.tryon.pipeline import TryOnPipeline
from vision.tryon.sample import GREY


class TryOnMaker:
    """A :data:`vision.tryon.evaluation.request.Maker`: a pipeline, which is given what it can read.

    Args:
        pipeline: the try-on.
        hands: whether it is shown the hands; False for a model that was trained without them.
    """

    def __init__(self, pipeline: TryOnPipeline, hands: bool = True) -> None:
        self.pipeline, self._hands = pipeline, hands
        pipeline.set_progress_bar_config(disable=True)

    def inputs(self, request: Request) -> dict[str, Any]:
        """Arguments of the pipeline's call."""
        clip, guided = request.clip, has_guider(self.pipeline.transformer)
        heard = guided and self.pipeline.config["trained_with_actions"]
        return {
            "video": pixels_of(clip.video),
            "mask": torch.from_numpy(clip.mask),
            "pose": pixels_of(clip.pose),
            "hands": pixels_of(clip.hand) if guided and self._hands else None,
            "garment": Image.fromarray(request.garment),
            "actions": request.commands if heard else None,
            "prompt": clip.plan.caption,
        }

    def __call__(self, request: Request) -> np.ndarray:
        """The made clip; the noise is drawn on the CPU."""
        made = self.pipeline(
            **self.inputs(request),
            generator=torch.Generator().manual_seed(request.seed),
            output_type="np",
        )
        return made.frames[0].astype(np.float32)


def true_clip(request: Request) -> np.ndarray:
    """The ceiling: what is wanted."""
    return _unit(request.truth)


def at_another_time(request: Request) -> np.ndarray:
    """The truth of the other command: right but for its timing, which measures of time must not like."""
    other = {"paired": "moved", "moved": "paired", "unpaired": "unpaired"}[request.kind]
    return _unit(Request(request.clip, other).truth)  # pyright: ignore[reportArgumentType] - a kind


def agnostic_copy(request: Request) -> np.ndarray:
    """The floor: the given video, grey where it is to be made."""
    clip = request.clip
    return _unit(np.where(clip.mask[..., None], np.uint8(GREY), clip.video))


def through_autoencoder(vae: Any) -> Maker:
    """What an autoencoder leaves of the truth, more than which no model of its latents can reach."""

    @torch.no_grad()
    def make(request: Request) -> np.ndarray:
        pixels = to_unit_range(pixels_of(request.truth))[None]
        made = decode(vae, encode(vae, pixels))[0] / 2 + 0.5
        return made.clamp(0, 1).permute(1, 2, 3, 0).float().cpu().numpy()

    return make


#: What the tables call the floor.
FLOOR = "agnostic video, copied"
#: By the label of the tables, what needs no model.
REFERENCES: dict[str, Callable[[Request], np.ndarray]] = {
    "truth": true_clip,
    "truth at another time": at_another_time,
    FLOOR: agnostic_copy,
}


def pixels_of(frames: np.ndarray) -> Tensor:
    """uint8 frames (T, H, W, 3) as (3, T, H, W)."""
    return torch.from_numpy(frames).permute(3, 0, 1, 2)


def _unit(frames: np.ndarray) -> np.ndarray:
    return frames.astype(np.float32) / 255

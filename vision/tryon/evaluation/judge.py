"""All measures of one maker on one truth set.

Legend: N clips, T frames, H height, W width in pixels.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vision.metrics.perceptual import perceptual_distance
from vision.metrics.pooled import Pooled
from vision.metrics.similarity import ssim_inside_outside
from vision.metrics.video_features import frechet_video_distance, video_features
from vision.tryon.drawing.actions import ACTIONS
from vision.tryon.evaluation.interval import boundary_error, effect_outside, shown_interval, temporal_iou
from vision.tryon.evaluation.request import Maker, Request
from vision.tryon.evaluation.truth_clip import TruthClip
from vision.tryon.evaluation.worn_garment import nearest_garment

#: One frame of each latent frame is compared by the network.
_EVERY = 4


class Judge:
    """Gathers what a maker's clips show, clip by clip.

    Args:
        network: of :func:`vision.metrics.efficientnet_lite.efficientnet_lite`.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._sums: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._features: dict[str, list[Tensor]] = defaultdict(list)
        self._left_out = 0

    def add(self, request: Request, made: np.ndarray) -> None:
        """One clip, float32 in [0, 1], shape (T, H, W, 3)."""
        if request.kind == "moved":
            self._shuffle(request.clip, made)
            return
        if request.kind == "paired":
            self._timing(request.clip, made)
        self._pictures(request, made)

    def found(self) -> dict[str, Any]:
        """The measures, for JSON: value, standard error over clips and how many clips, each.

        ``timing``: ``iou`` of the interval that is shown with the commanded one, ``hit`` (share of the
        commanded frames that it covers), ``seen`` (share of actions that are shown at all), ``boundary``
        (frames between commanded and shown begin and end, of those that are seen), ``leakage`` (share of the
        effect outside the command), ``actions`` (``iou`` by action), ``moved_iou`` (``iou`` with the command
        that was moved), ``follows`` (share of moved actions that are nearer to the new command than to the
        old one) and ``left_out`` (actions that nobody sees in the true clip).

        ``paired`` and ``unpaired``: ``ssim_inside`` and ``ssim_outside`` of the mask, ``perceptual``,
        ``frechet`` (None with too few clips) and ``nearest`` (share of clips whose garment is nearest to
        the given one).
        """
        timing = {
            name: self._pooled(name)
            for name in ("iou", "hit", "seen", "boundary", "leakage", "moved_iou", "follows")
        }
        by_action = {name: self._pooled(f"iou {name}") for name in ACTIONS if f"iou {name}" in self._sums}
        made: dict[str, Any] = {"timing": {**timing, "actions": by_action, "left_out": self._left_out}}
        for kind in ("paired", "unpaired"):
            made[kind] = {
                name: self._pooled(f"{kind} {name}")
                for name in ("ssim_inside", "ssim_outside", "perceptual", "nearest")
            }
            sides = (self._features[f"{kind} {side}"] for side in ("made", "true"))
            distance, error = frechet_video_distance(*sides)
            made[kind]["frechet"] = {"value": distance, "error": error}
        return made

    def _timing(self, clip: TruthClip, made: np.ndarray) -> None:
        sums: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for action, effect in zip(clip.plan.actions, clip.effects, strict=True):
            if not effect.visible:
                self._left_out += 1
                continue
            errors, command = effect.errors(made), (action.first, action.last)
            shown = shown_interval(action.name, errors, command)
            iou = temporal_iou(shown, command)
            sums["iou"].append((iou, 1))
            sums[f"iou {action.name}"].append((iou, 1))
            sums["hit"].append((_covered(shown, command), 1))
            sums["seen"].append((shown is not None, 1))
            if shown is not None:
                sums["boundary"].append((boundary_error(shown, command), 1))
            sums["leakage"].append(effect_outside(action.name, errors.nearest(), command))
        # Actions of a clip belong together: clips are what is independent.
        for name, pairs in sums.items():
            self._sums[name].append((sum(a for a, _ in pairs), sum(b for _, b in pairs)))

    def _shuffle(self, clip: TruthClip, made: np.ndarray) -> None:
        if clip.moved is None:
            return
        number, command = clip.moved
        action, effect = clip.plan.actions[number], clip.effects[number]
        if not effect.visible:
            return
        errors = effect.errors(made)
        shown = shown_interval(action.name, errors, command)
        new, old = temporal_iou(shown, command), temporal_iou(shown, (action.first, action.last))
        self._sums["moved_iou"].append((new, 1))
        self._sums["follows"].append((new > old, 1))

    def _pictures(self, request: Request, made: np.ndarray) -> None:
        true = request.truth.astype(np.float32) / 255
        mask = torch.from_numpy(request.clip.mask)[None, None]
        inside, outside = ssim_inside_outside(_batch(true), _batch(made), mask, data_range=1.0)
        few, few_true = (_frames(frames)[::_EVERY] for frames in (made, true))
        distance = perceptual_distance(self._network, few, few_true).mean()
        cloth, choices = request.clip.cloth, request.clip.choices
        given = 1 if request.kind == "unpaired" else 0
        values = {
            "ssim_inside": float(inside),
            "ssim_outside": float(outside),
            "perceptual": float(distance),
            "nearest": float(nearest_garment(made, cloth, choices) == given),
        }
        for name, value in values.items():
            if not np.isnan(value):
                self._sums[f"{request.kind} {name}"].append((value, 1))
        for side, frames in (("made", made), ("true", true)):
            self._features[f"{request.kind} {side}"].append(video_features(self._network, _frames(frames)))

    def _pooled(self, name: str) -> dict[str, float | int | None]:
        sums = np.array(self._sums.get(name, []), np.float64).reshape(-1, 2)
        return Pooled(sums[:, 0], sums[:, 1]).facts()


def judged(
    maker: Maker,
    clips: Iterable[TruthClip],
    network: nn.Module,
    look: Callable[[Request, np.ndarray], None] | None = None,
) -> dict[str, Any]:
    """Has a maker make the clips of a truth set, of all kinds, and measures them; see :meth:`Judge.found`.

    Args:
        maker: of the clips.
        clips: of the truth.
        network: see :class:`Judge`.
        look: is shown every clip.
    """
    judge = Judge(network)
    for clip in clips:
        for request in requests_of(clip):
            made = maker(request)
            judge.add(request, made)
            if look is not None:
                look(request, made)
    return judge.found()


def requests_of(clip: TruthClip) -> list[Request]:
    """What is asked for of a clip."""
    requests = [Request(clip, "paired"), Request(clip, "unpaired")]
    return requests if clip.moved is None else [*requests, Request(clip, "moved")]


def _covered(shown: tuple[int, int] | None, command: tuple[int, int]) -> float:
    if shown is None:
        return 0.0
    both = min(shown[1], command[1]) - max(shown[0], command[0]) + 1
    return max(0, both) / (command[1] - command[0] + 1)


def _frames(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def _batch(frames: np.ndarray) -> Tensor:
    """(T, H, W, 3) as (1, 3, T, H, W)."""
    return torch.from_numpy(frames).permute(3, 0, 1, 2)[None]

"""What a released try-on has to reach on people, garments and prints that no training shows."""

from collections.abc import Mapping
from typing import Any

from benchmarks.targets import Target, at_least, at_most

IOU, ABOVE_FLOOR, NEAREST = 0.8, 0.15, 0.95
#: A student may fall behind its teacher by this share.
BEHIND = 0.1
#: The kind of clips whose timing only the text tells.
JUDGED = "decoy"
_GARMENTS = {"paired": "own garment", "unpaired": "another garment"}


def targets(
    found: Mapping[str, Any], floor: Mapping[str, Any], teacher: Mapping[str, Any] | None = None
) -> list[Target]:
    """The targets of a try-on.

    Args:
        found: its measures, see :meth:`benchmarks.tryon.evaluating.Evaluation.tryon`.
        floor: those of the agnostic video, copied.
        teacher: for a student, those of its teacher, from which it may fall behind by :data:`BEHIND`.
    """
    own, lowest = found["sets"][JUDGED], floor["sets"][JUDGED]
    made = [at_least("temporal IoU, decoy", own["timing"]["iou"]["value"], IOU)]
    for kind, words in _GARMENTS.items():
        bound = (lowest[kind]["ssim_inside"]["value"] or 0) + ABOVE_FLOOR
        made.append(at_least(f"SSIM inside the mask, {words}", own[kind]["ssim_inside"]["value"], bound))
        made.append(at_least(f"nearest of 20 garments, {words}", own[kind]["nearest"]["value"], NEAREST))
    if teacher is None:
        return made
    theirs = teacher["sets"][JUDGED]
    wanted = (1 - BEHIND) * (theirs["timing"]["iou"]["value"] or 0)
    made.append(at_least("temporal IoU, teacher's", own["timing"]["iou"]["value"], wanted))
    for kind, words in _GARMENTS.items():
        for name, title in (("ssim_inside", "SSIM inside the mask"), ("nearest", "nearest of 20 garments")):
            wanted = (1 - BEHIND) * (theirs[kind][name]["value"] or 0)
            made.append(at_least(f"{title}, {words}, teacher's", own[kind][name]["value"], wanted))
        allowed = (1 + BEHIND) * (theirs[kind]["perceptual"]["value"] or 0)
        made.append(
            at_most(f"perceptual distance, {words}, teacher's", own[kind]["perceptual"]["value"], allowed)
        )
    return made

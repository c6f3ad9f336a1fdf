"""A picture that shows what was recorded."""

from pathlib import Path

from vision.media import data_set
from vision.world.clip_plan import SPLITS, ClipPlan
from vision.world.crossfps import decoded

_CLIPS_A_SPLIT = 5


def write_contact_sheet(plans: list[ClipPlan], folder: Path, path: Path) -> None:
    """Draws evenly spaced frames of the first clips of each split, a clip a row, with map and policy.

    Args:
        plans: of clips that are in the data set; at least one.
        folder: of the data set.
        path: of the PNG.
    """
    shown = [plan for split in SPLITS for plan in [p for p in plans if p.split == split][:_CLIPS_A_SPLIT]]
    rows = [
        (
            f"{plan.split} {plan.map_name} {plan.policy}",
            data_set.spaced_frames(decoded(folder / plan.name).numpy()),
        )
        for plan in shown
    ]
    data_set.write_contact_sheet(rows, path)

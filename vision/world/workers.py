"""Processes that record clips of the world side by side."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from vision.media.workers import record_side_by_side
from vision.world.clip_plan import ClipPlan
from vision.world.clip_writer import ClipWriter, RecordingSettings


def record_in_processes(
    plans: Sequence[ClipPlan], folder: Path, settings: RecordingSettings, workers: int
) -> Iterator[ClipPlan]:
    """Records clips in ``workers`` processes, each with its own engines, and gives each plan when it is done.

    Errors are those of :func:`vision.media.workers.record_side_by_side`.
    """
    # Clips of one map in a row: a map that has just been played loads faster.
    ordered = sorted(plans, key=lambda plan: (plan.game, plan.map_name, plan.number))
    return record_side_by_side(ordered, partial(ClipWriter, folder, settings), workers)

"""The script of :mod:`vision.tryon.fitting` and the samples that are drawn of it."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from vision.tryon.drawing.actions import ACTIONS, POSSIBLE, Action, ClothState
from vision.tryon.drawing.figure import FIGURES
from vision.tryon.drawing.garment import GARMENTS, Cut
from vision.tryon.drawing.plan import StudioPlan, StudioSettings
from vision.tryon.index import INDEX_NAME
from vision.whole_file import folder_written_aside

#: Whole numbers of a script, each with the one above its largest.
_NUMBERS = {"person": FIGURES, "worn": GARMENTS, "lasts": 81, "scene": 2**32}
_FIELDS = ("person", "cut", "worn", "garments", "action", "lasts", "begins", "scene")


def read_fitting(path: Path) -> dict[str, Any]:
    """The script in a file.

    Raises:
        ValueError: it is not JSON, a field is missing or unknown, or a value is out of range.
    """
    try:
        script = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(script, dict) or set(script) != set(_FIELDS):
        found = ", ".join(sorted(script)) if isinstance(script, dict) else type(script).__name__
        raise ValueError(f"{path}: a script has {', '.join(_FIELDS)}; found {found}")
    for name, limit in _NUMBERS.items():
        _check_numbers(path, name, [script[name]], limit)
    for name, limit in (("garments", GARMENTS), ("begins", 81)):
        if not isinstance(script[name], list) or not script[name]:
            raise ValueError(f"{path}: {name} is {script[name]!r}, expected a list of whole numbers")
        _check_numbers(path, name, script[name], limit)
    cut, action = script["cut"], script["action"]
    if cut not in get_args(Cut) or action not in ACTIONS or action not in POSSIBLE[cut]:
        possible = "; ".join(f"{name}: {', '.join(actions)}" for name, actions in POSSIBLE.items())
        raise ValueError(f"{path}: the action {action!r} with the cut {cut!r} is none of {possible}")
    return script


def fitting_plans(script: Mapping[str, Any]) -> list[StudioPlan]:
    """A clip for each beginning and each garment: the same person before the same background.

    Args:
        script: see :func:`read_fitting`.
    """
    plans = []
    for begin in script["begins"]:
        done = Action(script["action"], begin, begin + script["lasts"] - 1, side=1)
        for other in script["garments"]:
            plans.append(
                StudioPlan(
                    number=len(plans),
                    split="test",
                    figure=script["person"],
                    cut=script["cut"],
                    garment=script["worn"],
                    other=other,
                    actions=(done,),
                    start=ClothState(0.0, {-1: 0.0, 1: 0.0}),
                    scene=script["scene"],
                )
            )
    return plans


def draw_fitting(plans: Sequence[StudioPlan], folder: Path) -> int:
    """Writes the samples of plans with their index; the folder appears whole or not at all.

    Returns:
        How many samples there are.

    Raises:
        ValueError: an action ends after the clip.
    """
    from vision.tryon.drawing.writer import StudioWriter, joined_records

    settings = StudioSettings()
    for plan in plans:
        if plan.actions[-1].last >= settings.frames:
            raise ValueError(
                f"the action ends in frame {plan.actions[-1].last}, and a clip has the frames 0 to "
                f"{settings.frames - 1}; let it begin earlier or last shorter"
            )
    with folder_written_aside(folder) as aside:
        writer = StudioWriter(aside, settings)
        filmed: dict[tuple[Action, ...], Path] = {}
        for plan in plans:
            writer.record(plan)
            # What was filmed does not depend on what is tried on, but x264 may write it in other bytes.
            video = aside / plan.name / "video.mp4"
            shutil.copyfile(filmed.setdefault(plan.actions, video), aside / "same.mp4")
            (aside / "same.mp4").replace(video)
        writer.close()
        (aside / INDEX_NAME).write_text(joined_records(aside, list(plans)), "utf-8")
    return len(plans)


def _check_numbers(path: Path, name: str, values: list[Any], limit: int) -> None:
    for value in values:
        if type(value) is not int or not 0 <= value < limit:
            raise ValueError(f"{path}: {name} is {value!r}, expected whole numbers from 0 to {limit - 1}")

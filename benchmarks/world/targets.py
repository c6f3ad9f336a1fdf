"""What a released world has to reach on unseen maps."""

from typing import Any

from benchmarks.targets import Target, at_least, at_most
from benchmarks.world.settings import UNSEEN
from vision.world.gamepad import STICKS

SIGN, GAIN, LEAKAGE = 0.95, 0.6, 0.1
#: Buttons whose response stays in a part of the picture.
LOCAL = ("fire", "reload", "melee", "switch")
#: A student may fall behind its teacher by this share.
BEHIND = 0.1


def targets(found: dict[str, Any], teacher: dict[str, Any] | None = None) -> list[Target]:
    """The targets of a world.

    Args:
        found: its measures, see :meth:`benchmarks.world.evaluating.Evaluation.world`.
        teacher: for a student, those of its teacher, from which it may fall behind by :data:`BEHIND`.
    """
    presses, sticks = (found["splits"][UNSEEN][kind] for kind in ("presses", "sticks"))
    made = [at_least(f"sign of {stick}", sticks[stick]["sign"]["value"], SIGN) for stick in STICKS]
    for name in LOCAL:
        made.append(at_least(f"gain of {name}", _value(presses, name, "gain"), GAIN))
        made.append(at_most(f"leakage of {name}", _value(presses, name, "leakage"), LEAKAGE))
    if teacher is None:
        return made
    theirs, their_sticks = (teacher["splits"][UNSEEN][kind] for kind in ("presses", "sticks"))
    for stick in STICKS:
        wanted = (1 - BEHIND) * (their_sticks[stick]["sign"]["value"] or 0)
        made.append(at_least(f"sign of {stick}, teacher's", sticks[stick]["sign"]["value"], wanted))
    for name in LOCAL:
        wanted = (1 - BEHIND) * (_value(theirs, name, "gain") or 0)
        made.append(at_least(f"gain of {name}, teacher's", _value(presses, name, "gain"), wanted))
        allowed = (1 + BEHIND) * (_value(theirs, name, "leakage") or 0)
        made.append(at_most(f"leakage of {name}, teacher's", _value(presses, name, "leakage"), allowed))
    return made


def _value(presses: dict[str, Any], name: str, measure: str) -> float | None:
    return presses[name].get(measure, {}).get("value")

"""Targets: what a released model has to reach."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.tables import table


@dataclass(frozen=True)
class Target:
    """One line of the table.

    Attributes:
        name: what is asked for.
        value: what was found, None where nothing could be judged.
        bound: what is wanted.
        reached: whether it is.
    """

    name: str
    value: float | None
    bound: str
    reached: bool


def at_least(name: str, value: float | None, bound: float) -> Target:
    """A target that larger values reach."""
    return Target(name, value, f"at least {bound:.3g}", value is not None and value >= bound)


def at_most(name: str, value: float | None, bound: float) -> Target:
    """A target that smaller values reach."""
    return Target(name, value, f"at most {bound:.3g}", value is not None and value <= bound)


def target_table(label: str, found: Sequence[Target]) -> list[str]:
    """Lines of the table of one model's targets."""
    reached = sum(target.reached for target in found)
    body = [
        [t.name, "" if t.value is None else f"{t.value:.3f}", t.bound, "yes" if t.reached else "**no**"]
        for t in found
    ]
    return table(f"{label}: {reached} of {len(found)}", ["found", "wanted", "reached"], body)

"""What is compared: one base recipe, and how each arm differs from it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from train.recipes.load import load_recipe
from train.recipes.override import Override
from train.recipes.world import WorldRecipe

CONFIGS = Path(__file__).parents[2] / "configs"
#: The recipes of both kinds of arms.
BASES = {kind: CONFIGS / "world" / "bench" / f"{kind}.yaml" for kind in ("world", "student")}
#: The entry points that train them.
MODULES = {"world": "train.world", "student": "train.cdm"}
# As many latent frames as a clip of the recipe has, so that a stream sees no farther back than training did.
_CAUSAL = {"causal.chunk": 1, "causal.window": 3, "causal.past_noise": 0.15}


@dataclass(frozen=True)
class Arm:
    """One kind of world.

    Attributes:
        name: short name, also of its folders.
        label: what the tables say.
        kind: "world" is trained on clips, "student" is distilled from the world of another arm and the same
            seed.
        changes: values of recipe keys that differ from the recipe of its kind.
        teacher: of a student, the name of its teacher's arm.
        matches: of a world, the arm that it has as many parameters as.
    """

    name: str
    label: str
    kind: Literal["world", "student"] = "world"
    changes: dict[str, Any] = field(default_factory=dict)
    teacher: str | None = None
    matches: str | None = None


def _student(steps: int) -> Arm:
    label = f"SCOPE causal, {steps} step{'s' * (steps > 1)}"
    grid = [1 - step / steps for step in range(steps)]
    return Arm(f"student-{steps}", label, "student", {"cdm.fixed_grid": grid}, teacher="causal")


ARMS = (
    Arm(
        "adaln",
        "AdaLN, as many parameters",
        changes={"actions.module": "action_adaln", "actions.blocks": None},
        matches="scope",
    ),
    Arm("scope", "SCOPE"),
    Arm("null-key", "SCOPE + null key", changes={"actions.null_key": True}),
    Arm("causal", "SCOPE causal", changes=_CAUSAL),
    _student(4),
    _student(2),
    _student(1),
)


def world_recipe(base: Path, changes: dict[str, Any]) -> WorldRecipe:
    """The base recipe with changed keys, checked."""
    overrides = [Override(tuple(key.split(".")), value) for key, value in changes.items()]
    return load_recipe(WorldRecipe, base, overrides)


def changes_of(arm: Arm, base: Path, further: dict[str, Any]) -> dict[str, Any]:
    """All keys in which a world's arm differs from the base recipe, also its width where it matches another.

    Args:
        arm: of the kind "world".
        base: the base recipe.
        further: keys that all arms change alike.
    """
    changes = {**further, **arm.changes}
    if arm.matches is None:
        return changes
    from benchmarks.world.matching import matched_width

    other = next(other for other in ARMS if other.name == arm.matches)
    wanted = world_recipe(base, {**further, **other.changes})
    return {**changes, **matched_width(world_recipe(base, changes), wanted)}

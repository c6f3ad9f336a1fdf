"""What is compared: the shipped recipes, and how each arm differs from its recipe."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from train.recipes.cdm import CDMRecipe
from train.recipes.consistency import ConsistencyRecipe
from train.recipes.ddmd import DDMDRecipe
from train.recipes.distillation import DistillationRecipe, PictureRecipe
from train.recipes.dmd import DMDRecipe
from train.recipes.load import load_recipe
from train.recipes.meanflow import MeanFlowRecipe
from train.recipes.override import Override

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = {
    "cdm": (CDMRecipe, CONFIGS / "cdm" / "fashion.yaml"),
    "ddmd": (DDMDRecipe, CONFIGS / "distill" / "ddmd.yaml"),
    "dmd": (DMDRecipe, CONFIGS / "distill" / "dmd.yaml"),
    "consistency": (ConsistencyRecipe, CONFIGS / "distill" / "consistency.yaml"),
    "meanflow": (MeanFlowRecipe, CONFIGS / "distill" / "meanflow.yaml"),
}


@dataclass(frozen=True)
class Arm:
    """One method with its options.

    Attributes:
        name: short name, also of its folders.
        label: what the table says.
        kind: the recipe's kind.
        changes: values of recipe keys that differ from the shipped recipe.
    """

    name: str
    label: str
    kind: str
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def needs_pictures(self) -> bool:
        """Whether the method is trained on pictures beside prompts."""
        return issubclass(RECIPES[self.kind][0], PictureRecipe)

    def recipe(self, output: Path, seed: int, steps: int, **further: Any) -> DistillationRecipe:
        """The arm's whole recipe for a run of ``steps`` iterations."""
        recipe_class, path = RECIPES[self.kind]
        changes = {
            "train.output": str(output),
            "train.seed": seed,
            "train.steps": steps,
            "train.save_every": max(1, min(steps, 100)),
            "train.keep_last": 1,
            "train.preview_every": 0,
            "train.warmup_steps": min(10, steps),
            "train.tracker": "none",
            **self.changes,
            **further,
        }
        overrides = [Override(tuple(key.split(".")), value) for key, value in changes.items()]
        return load_recipe(recipe_class, path, overrides)


_RANDOM = {"cdm.fixed_grid": None, "cdm.max_rollout_steps": 8}
_PLAIN_FAKE = {"cdm.anchor_aware": False, "cdm.fake_on_off_trajectory": 0.0}

ARMS = (
    Arm("cdm", "CDM", "cdm", {**_RANDOM, **_PLAIN_FAKE}),
    Arm("cdm-aware", "CDM, anchor-aware fake", "cdm", _RANDOM),
    Arm("cdm-grid-aware", "CDM on the fixed grid, anchor-aware fake", "cdm"),
    Arm("ddmd", "D-DMD", "ddmd", {"ddmd.anchor_aware": False}),
    Arm("ddmd-aware", "D-DMD, anchor-aware fake", "ddmd"),
    Arm("ddmd-twice", "D-DMD, double DM", "ddmd", {"ddmd.anchor_aware": False, "ddmd.double_matching": True}),
    Arm("ddmd-twice-aware", "D-DMD, double DM, anchor-aware fake", "ddmd", {"ddmd.double_matching": True}),
    Arm("dmd", "DMD", "dmd", {"dmd.anchor_aware": False}),
    Arm("dmd-aware", "DMD, anchor-aware fake", "dmd"),
    Arm("consistency", "consistency (pictures)", "consistency"),
    Arm("meanflow", "MeanFlow (pictures)", "meanflow"),
)

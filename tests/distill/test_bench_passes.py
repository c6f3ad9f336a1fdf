"""The comparison of methods spends on each what it says: passes counted by hand."""

from pathlib import Path

import pytest

from benchmarks.distillation.arms import ARMS
from benchmarks.distillation.passes import iterations_within
from benchmarks.distillation.report import mean_and_error

# Rollout of four, fake score 3 (forward and backward); the student in every second iteration: 3 forward and
# backward, teacher and fake score; with pictures one student and its teacher, guided.
COST = {
    "dmd": 4 + 3 + (3 + 2 + 1) / 2,
    "ddmd": 4 + 3 + (3 + 2 + 2) / 2,
    "ddmd-twice": 4 + 3 + (3 + 2 + 4) / 2,
    "cdm-grid-aware": 4 + 1 + 3 + (6 + 2 + 2 + 2) / 2,
    "consistency": 2 + 1 + 3,
    "meanflow": 2 + 2 + 3,
}


@pytest.mark.parametrize("name", COST)
def test_iterations_cost_what_the_formulas_say(name: str, tmp_path: Path):
    arm = next(arm for arm in ARMS if arm.name == name)
    recipe = arm.recipe(tmp_path, 0, 1)
    period = 2 if arm.kind in ("cdm", "ddmd", "dmd") else 1
    # Almost every batch of 48 has an anchor at the rollout's end.
    assert iterations_within(recipe, round(40 * COST[name])) == pytest.approx(40, abs=period)


def test_every_arm_is_a_recipe_and_half_of_the_budget_is_half_of_the_run(tmp_path: Path):
    for arm in ARMS:
        recipe = arm.recipe(tmp_path, 3, 8)
        assert (recipe.train.seed, recipe.train.steps) == (3, 8)
        whole, half = (iterations_within(recipe, budget) for budget in (400, 200))
        assert whole == pytest.approx(2 * half, rel=0.25, abs=4)


def test_standard_error():
    assert mean_and_error([1.0, 2.0, 3.0]) == pytest.approx((2.0, (1 / 3) ** 0.5))

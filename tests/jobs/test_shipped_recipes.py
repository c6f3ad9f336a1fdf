"""Every recipe in configs/ is one that its entry point takes, and what it names in configs/ is there."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from train import base, cdm, features
from train.recipes.base import BaseRecipe
from train.recipes.cdm import CDMRecipe
from train.recipes.classifier import ClassifierRecipe
from train.recipes.load import load_recipe
from train.recipes.yaml_text import read_yaml
from vision.text import read_prompts

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = {
    "base": (BaseRecipe, base.main),
    "cdm": (CDMRecipe, cdm.main),
    "classifier": (ClassifierRecipe, features.main),
}
RECIPES = sorted(
    path for path in (ROOT / "configs").glob("*/*.yaml") if path.parent.name not in ("accelerate", "prompts")
)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_shipped_recipe_is_taken_by_its_entry_point(path: Path, teacher: Path, tmp_path: Path):
    kind = read_yaml(path.read_text())[0]["recipe"]
    recipe_class, main = ENTRY_POINTS[kind]
    recipe = load_recipe(recipe_class, path)
    words = ["--train.output", str(tmp_path / "out"), "--dry-run"]
    if isinstance(recipe, CDMRecipe):
        assert read_prompts(ROOT / recipe.prompts)
        words += ["--teacher", str(teacher)]  # stands in for the one that is named
    shown = io.StringIO()
    with redirect_stdout(shown):
        assert main([str(path), *words]) == 0
    assert f"seed: {recipe.train.seed}" in shown.getvalue() and "on one process" in shown.getvalue()
    assert not list(tmp_path.iterdir())


def test_there_are_recipes_of_every_kind():
    assert {path.parent.name for path in RECIPES} >= {"base", "cdm", "features"}
    classes = load_recipe(ClassifierRecipe, ROOT / "configs" / "features" / "fashion.yaml").data.class_names
    prompts = read_prompts(ROOT / "configs" / "prompts" / "fashion_classes.txt")
    assert classes is not None
    assert all(name in prompt for name, prompt in zip(classes, prompts, strict=True))

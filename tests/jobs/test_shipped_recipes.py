"""Every recipe in configs/ is one that its entry point takes, and what it names in configs/ is there."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from tiny_world import pipeline_of, tiny_world  # pyright: ignore[reportMissingImports] - of tests/world

from train import autoencoder, base, cdm, dehaze, distill, features, tryon, world
from train.recipes.autoencoder import AutoencoderRecipe
from train.recipes.base import BaseRecipe
from train.recipes.cdm import CDMRecipe
from train.recipes.classifier import ClassifierRecipe
from train.recipes.dehaze_adapt import ShiftedRecipe
from train.recipes.distillation import DistillationRecipe, PromptRecipe
from train.recipes.load import load_recipe
from train.recipes.tryon import TryOnRecipe
from train.recipes.tryon_cdm import TryOnCDMRecipe
from train.recipes.world import WorldRecipe
from train.recipes.world_cdm import WorldCDMRecipe
from train.recipes.yaml_text import read_yaml
from vision import DehazePipeline
from vision.dehaze.dea_net import DEANet
from vision.text import read_prompts

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = {
    "base": (BaseRecipe, base.main),
    "cdm": (CDMRecipe, cdm.main),
    "world_cdm": (WorldCDMRecipe, cdm.main),
    "tryon_cdm": (TryOnCDMRecipe, cdm.main),
    **{found.model_fields["recipe"].default: (found, distill.main) for found in distill.RECIPES},
    **{found.model_fields["recipe"].default: (found, dehaze.main) for found in dehaze.RECIPES},
    "classifier": (ClassifierRecipe, features.main),
    "autoencoder": (AutoencoderRecipe, autoencoder.main),
    "world": (WorldRecipe, world.main),
    "tryon": (TryOnRecipe, tryon.main),
}
RECIPES = sorted(
    path for path in (ROOT / "configs").glob("*/*.yaml") if path.parent.name not in ("accelerate", "prompts")
)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_shipped_recipe_is_taken_by_its_entry_point(
    path: Path, teacher: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    kind = read_yaml(path.read_text())[0]["recipe"]
    recipe_class, main = ENTRY_POINTS[kind]
    recipe = load_recipe(recipe_class, path)
    words = ["--train.output", str(tmp_path / "out"), "--dry-run"]
    if isinstance(recipe, PromptRecipe):
        assert read_prompts(ROOT / recipe.prompts)
    if isinstance(recipe, DistillationRecipe) and recipe.architecture is None:
        words += ["--teacher", str(teacher)]  # stands in for the one that is named
    if isinstance(recipe, WorldCDMRecipe):
        world = tmp_path_factory.mktemp("world")
        pipeline_of(tiny_world(causal={"chunk": 1})).save_pretrained(world)
        words += ["--teacher", str(world)]
    if isinstance(recipe, WorldRecipe) and recipe.model.weights and recipe.model.configurations is None:
        words += ["--model.weights", str(ROOT / "checkpoints" / "world-causal" / "transformer")]
    if isinstance(recipe, TryOnRecipe) and recipe.model.configurations is None:
        # An autoencoder of the same latents stands in for the one that is trained first.
        words += ["--model.vae", str(ROOT / "checkpoints" / "world-autoencoder")]
        if recipe.model.weights:
            words += ["--model.weights", str(ROOT / "checkpoints" / "tryon-studio" / "transformer")]
    if isinstance(recipe, ShiftedRecipe) and not Path(recipe.model.base).is_dir():
        stand_in = tmp_path_factory.mktemp("dehazer")
        DehazePipeline(DEANet(2)).save_pretrained(stand_in)
        words += ["--model.base", str(stand_in)]
    shown = io.StringIO()
    with redirect_stdout(shown):
        assert main([str(path), *words]) == 0
    assert f"seed: {recipe.train.seed}" in shown.getvalue() and "on one process" in shown.getvalue()
    assert not list(tmp_path.iterdir())


def test_there_are_recipes_of_every_kind():
    assert {path.parent.name for path in RECIPES} >= {"base", "cdm", "features", "tryon", "world"}
    classes = load_recipe(ClassifierRecipe, ROOT / "configs" / "features" / "fashion.yaml").data.class_names
    prompts = read_prompts(ROOT / "configs" / "prompts" / "fashion_classes.txt")
    assert classes is not None
    assert all(name in prompt for name, prompt in zip(classes, prompts, strict=True))

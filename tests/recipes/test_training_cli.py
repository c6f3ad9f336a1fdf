"""The command line of the training entry points."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from train.cli import Invocation, keys_text, parse_arguments
from train.recipes.base import BaseRecipe
from train.recipes.cdm import CDMRecipe
from train.recipes.classifier import ClassifierRecipe
from train.recipes.keys import recipe_keys

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "recipe: cdm\ntrain: {output: runs/x, steps: 100, batch_size: 4, lr: 1e-4, save_every: 50}\n"
        "teacher: t\nprompts: p.txt\n"
    )
    return str(path)


def parse(*words: str) -> Invocation[CDMRecipe]:
    return parse_arguments(CDMRecipe, words, prog="python -m train.cdm", description="Distils.")


def test_a_recipe_alone(recipe_file):
    invocation = parse(recipe_file)
    assert invocation.recipe.train.lr == 1e-4
    assert invocation.resume is None and not invocation.dry_run


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("--train.lr 2e-5", "train.lr", 2e-5),
        ("--train.lr=2e-5", "train.lr", 2e-5),
        ("--train.lr 3e-5 --train.lr 2e-5", "train.lr", 2e-5),
        ("--cdm.guidance_scale 3", "cdm.guidance_scale", 3.0),
        ("--train.compile", "train.compile", True),
        ("--train.compile --train.seed 7", "train.compile", True),
        ("--cdm.stratified false", "cdm.stratified", False),
        ("--train.clip_grad_norm none", "train.clip_grad_norm", None),
        ("--train.clip_grad_norm null", "train.clip_grad_norm", None),
        ("--train.sharding none", "train.sharding", "none"),
        ("--train.mixed_precision no", "train.mixed_precision", "no"),
        ("--train.output 123", "train.output", "123"),
        ("--train.output true", "train.output", "true"),
        ("--cdm.fixed_grid 1 .75 .5", "cdm.fixed_grid", [1.0, 0.75, 0.5]),
        ("--cdm.fixed_grid [1,0.5]", "cdm.fixed_grid", [1.0, 0.5]),
        ("--preview.prompts hat 5", "preview.prompts", ["hat", "5"]),
        ("--train.betas 0 0.99", "train.betas", (0.0, 0.99)),
        ("--train.lr_of.fake 5e-6", "train.lr_of", {"fake": 5e-6}),
        ("--train.lr_of '{fake: 5e-6}'", "train.lr_of", {"fake": 5e-6}),
        ("--memory lora --lora.rank 4", "lora.rank", 4),
        ("--lora.rank 4 --lora null", "lora", None),
        ("--memory lora --lora.target_modules to_q", "lora.target_modules", "to_q"),
        ("--memory lora --lora.target_modules to_q to_k", "lora.target_modules", ["to_q", "to_k"]),
        ("--memory lora --lora.target_modules [to_q]", "lora.target_modules", ["to_q"]),
    ],
)
def test_values_on_the_command_line(recipe_file, words, name, value):
    found = parse(recipe_file, *shlex.split(words)).recipe
    for part in name.split("."):
        found = getattr(found, part)
    assert found == value and type(found) is type(value)


def test_options_stand_anywhere(recipe_file):
    invocation = parse("--resume", "latest", "--train.seed", "7", "--dry-run", "--", recipe_file)
    assert invocation.resume == "latest" and invocation.dry_run and invocation.recipe.train.seed == 7
    assert invocation.gpus is None
    assert parse(recipe_file, "--dry-run", "--gpus", "8", "--train.seed", "7").gpus == 8


@pytest.mark.parametrize("words", [("--gpus", "8"), ("--gpus", "0", "--dry-run")])
def test_gpus_are_a_question_of_the_dry_run(recipe_file, words, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(recipe_file, *words)
    assert stop.value.code == 2
    assert "--gpus takes a number from 1, and --dry-run beside it" in capsys.readouterr().err
    assert (
        parse(recipe_file, "--resume=runs/x/checkpoints/step-00000050").resume
        == "runs/x/checkpoints/step-00000050"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["--train.lrr", "3"],
            "train.lrr is not a key of this recipe; did you mean train.lr? (the command line)",
        ),
        (["--trian.lr", "3"], "trian.lr is not a key of this recipe; did you mean train.lr?"),
        (["--dryrun"], "dryrun is not a key of this recipe; did you mean --dry-run? (the command line)"),
        (["--train.lr.x", "3"], "train.lr.x is not a key of this recipe; did you mean train.lr?"),
        (
            ["--train.lr", "abc"],
            "train.lr: found the text 'abc', expected number in (0, 1] (the command line)",
        ),
        (["--train.lr", "7"], "train.lr: found 7, expected number in (0, 1] (the command line)"),
        (["--train.lr", "-1"], "train.lr: found -1, expected number in (0, 1] (the command line)"),
        (["--train.steps", "1.5"], "train.steps: found 1.5, expected integer >= 1 (the command line)"),
        (["--train.lr"], "--train.lr takes one value, number in (0, 1]; found none"),
        (["--train.lr", "1", "2"], "--train.lr takes one value, number in (0, 1]; found 2: 1 2"),
        (["--train.lr", "[1"], "--train.lr [1 cannot be read"),
        (["--train", "5"], "--train is a section with keys such as train.output; give one"),
        (["--train.tracker", "wandb"], "expected one of tensorboard, none (the command line)"),
        (["--train.lr_of.fak", "1e-5"], "train.lr_of names 'fak'"),
        (["--recipe", "base"], "recipe: found the text 'base', expected cdm"),
    ],
)
def test_mistakes_end_with_one_message(recipe_file, words, expected, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(recipe_file, *words)
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert captured.out == ""
    assert captured.err.startswith("python -m train.cdm: error: ") and captured.err.count("\n") == 1
    assert expected in captured.err


@pytest.mark.parametrize("words", [[], ["a.yaml", "b.yaml"], ["a.yaml", "--resume"]])
def test_misuse_shows_the_usage(words, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(*words)
    assert stop.value.code == 2
    assert "usage: python -m train.cdm RECIPE" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", [BaseRecipe, CDMRecipe, ClassifierRecipe])
def test_help_lists_every_key(recipe):
    text = keys_text(recipe)
    for key in recipe_keys(recipe):
        assert (f"{key.name}: " if key.section else f"--{key.name}  {key.expected}; {key.default}") in text


def test_help_and_mistakes_cost_no_heavy_import(recipe_file):
    code = (
        "import sys\n"
        "from train.cli import parse_arguments\n"
        "from train.recipes.base import BaseRecipe\n"
        "from train.recipes.cdm import CDMRecipe\n"
        "from train.recipes.classifier import ClassifierRecipe\n"
        "for recipe in (BaseRecipe, CDMRecipe, ClassifierRecipe):\n"
        "    for words in (['--help'], [sys.argv[1], '--x', '1']):\n"
        "        try:\n"
        "            parse_arguments(recipe, words, prog='p', description='d')\n"
        "        except SystemExit as stop:\n"
        "            assert stop.code == (0 if words == ['--help'] else 2)\n"
        "heavy = [n for n in ('torch', 'numpy', 'diffusers', 'transformers', 'PIL') if n in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code, recipe_file], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout and "Traceback" not in done.stderr

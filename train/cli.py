"""The command line of the training entry points: a recipe, what replaces values of it, and how to run it.

>>> from train.recipes.base import BaseRecipe
>>> words = ["configs/base/fashion.yaml", "--train.lr", "2e-5", "--resume", "latest"]
>>> parse_arguments(BaseRecipe, words, prog="python -m train.base", description="...")  # doctest: +SKIP

Nothing heavy is imported here, so that ``--help`` answers at once.
"""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from train.recipes.keys import recipe_keys
from train.recipes.load import load_recipe, recipe_kind
from train.recipes.override import Override
from train.recipes.recipe_error import RecipeError
from train.recipes.run import RunRecipe

R = TypeVar("R", bound=RunRecipe)

_OPTIONS = ("--help", "--resume", "--dry-run", "--gpus")
_EPILOG = """\
Each key below stands in the recipe's file, and can be replaced here:

  --train.lr 2e-5                 numbers and text
  --train.compile                 true; or --train.compile false
  --preview.prompts "a hat" "a shoe"    lists; or "[a hat, a shoe]"
  --train.lr_of.fake 5e-6         one entry of a mapping
  --lora null                     no value, where a key allows it
"""


@dataclass(frozen=True)
class Invocation(Generic[R]):
    """What a user asked an entry point for.

    Attributes:
        recipe: the recipe with the command line's values in it.
        resume: None, "latest" or the folder of a checkpoint.
        dry_run: print the recipe and its needs, train nothing.
        gpus: the number of GPUs that the dry run is about; None takes this machine's processes.
    """

    recipe: R
    resume: str | None
    dry_run: bool
    gpus: int | None = None


def parse_arguments(
    recipe_classes: type[R] | Sequence[type[R]],
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    description: str,
) -> Invocation[R]:
    """Reads the command line of an entry point.

    Args:
        recipe_classes: the recipe that this entry point runs, or several, of which the file says one.
        argv: the words after the program's name; None takes those of this process.
        prog: how the program is called, for instance ``python -m train.base``.
        description: what it does, in a sentence.

    Raises:
        SystemExit: code 0 after ``--help``; code 2 with one message on stderr when the command line or
            the recipe is wrong.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} RECIPE [--KEY VALUE ...] [--resume latest|FOLDER] [--dry-run [--gpus N]] [--help]",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("recipe", metavar="RECIPE", help="YAML file, see configs/")
    parser.add_argument(
        "--resume",
        metavar="latest|FOLDER",
        help="go on from the newest whole checkpoint of the run, or from this one",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the resolved recipe, parameter counts and an estimate of memory, and train nothing",
    )
    parser.add_argument(
        "--gpus",
        type=int,
        metavar="N",
        help="with --dry-run: the memory on each of N GPUs, on whatever machine this is asked",
    )
    words = list(sys.argv[1:] if argv is None else argv)
    classes = [recipe_classes] if isinstance(recipe_classes, type) else list(recipe_classes)
    if "--help" in words or "-h" in words:
        kinds = {f"recipe: {found.model_fields['recipe'].default}\n": keys_text(found) for found in classes}
        texts = kinds.values() if len(kinds) == 1 else map("\n".join, kinds.items())
        parser.epilog = "\n".join([_EPILOG, *texts])
        parser.print_help()
        parser.exit(0)
    try:
        recipe_class = _class_of_file(classes, words)
        rest, overrides = _split(recipe_class, words)
        options = parser.parse_args(rest)
        recipe = load_recipe(recipe_class, options.recipe, overrides)
    except RecipeError as error:
        parser.exit(2, f"{prog}: error: {error}\n")
    if options.gpus is not None and (options.gpus < 1 or not options.dry_run):
        parser.exit(2, f"{prog}: error: --gpus takes a number from 1, and --dry-run beside it\n")
    return Invocation(recipe, options.resume, options.dry_run, options.gpus)


def keys_text(recipe_class: type[RunRecipe]) -> str:
    """Every key of a recipe with what it takes, its default and its meaning."""
    lines = []
    # A plain key after a section would read as one of the section's.
    for key in sorted(
        recipe_keys(recipe_class), key=lambda key: len(key.path) > 1 or key.section is not None
    ):
        if key.section is not None:
            null = f" May be null; {key.default}." if key.nullable else ""
            lines += ["", f"{key.name}: {key.doc}{null}"]
        else:
            lines.append(f"  --{key.name}  {key.expected}; {key.default}")
            lines += textwrap.wrap(key.doc, 100, initial_indent=" " * 8, subsequent_indent=" " * 8)
    return "\n".join(lines)


def _class_of_file(classes: list[type[R]], words: list[str]) -> type[R]:
    """The class of the kind that the recipe's file names; the first one where it names none of them."""
    files = [word for word in words if word.endswith((".yaml", ".yml"))]
    kind = recipe_kind(files[0]) if len(classes) > 1 and files else None
    return next((found for found in classes if found.model_fields["recipe"].default == kind), classes[0])


def _split(recipe_class: type[RunRecipe], words: list[str]) -> tuple[list[str], list[Override]]:
    # What argparse knows goes to argparse. All other options are keys, with the words up to the next one.
    rest: list[str] = []
    overrides: list[Override] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        name, equals, value = word[2:].partition("=")
        if word == "--":
            rest += words[position - 1 :]
            break
        if not word.startswith("--"):
            rest.append(word)
        elif f"--{name}" in _OPTIONS:
            rest.append(word)
            if name in ("resume", "gpus") and not equals:
                rest += words[position : position + 1]
                position += 1
        else:
            values = [value] if equals else []
            while not equals and position < len(words) and not words[position].startswith("--"):
                values.append(words[position])
                position += 1
            overrides.append(Override.parse(recipe_class, name, values, _OPTIONS))
    return rest, overrides

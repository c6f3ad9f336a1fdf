"""A recipe's file: read, overridden, checked, and written back whole."""

import copy
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from train.recipes.override import Override
from train.recipes.recipe import Recipe
from train.recipes.recipe_error import RecipeError, explain
from train.recipes.run import ENTRY_POINTS, RunRecipe
from train.recipes.yaml_text import read_yaml, write_yaml

R = TypeVar("R", bound=RunRecipe)


def load_recipe(recipe_class: type[R], path: str | Path, overrides: Sequence[Override] = ()) -> R:
    """Reads a recipe from YAML, with values from the command line in place of the file's.

    File and command line are merged before the one validation, so both give the same errors.

    Raises:
        RecipeError: no such file, not YAML, a key twice, a recipe of another entry point, an unknown key,
            a wrong type, a value out of range; the message names the key, what was found and expected, and
            the line of the file or the command line.
    """
    path = Path(path)
    mapping, lines = _read(path)
    _check_kind(mapping, recipe_class, path)
    origins: dict[tuple[Any, ...], str] = {key: f"{path}, line {line}" for key, line in lines.items()}
    mapping = copy.deepcopy(mapping)
    for override in overrides:
        override.apply(mapping)
        origins[override.path] = "the command line"
    try:
        return recipe_class.model_validate(mapping)
    except ValidationError as error:
        raise explain(error, recipe_class, origins) from None


def recipe_kind(path: str | Path) -> Any:
    """What a recipe's file says under ``recipe``; None where it says nothing.

    Raises:
        RecipeError: no such file, or not YAML.
    """
    return _read(Path(path))[0].get("recipe")


def dump_recipe(recipe: Recipe) -> str:
    """The recipe with every default written out, as YAML that :func:`load_recipe` reads back equal."""
    return write_yaml(recipe.model_dump(mode="json"))


def _read(path: Path) -> tuple[dict[str, Any], dict[tuple[Any, ...], int]]:
    if path.is_dir():
        raise RecipeError(f"{path} is a folder; give the YAML file of a recipe")
    try:
        value, lines = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{path} does not exist; {_files_nearby(path)}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"{path} is not UTF-8 text (byte {error.start}); give the YAML file of a recipe"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RecipeError(f"{path}{place}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise RecipeError(f"{path} is not YAML: {error}") from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from None
    if value is None:
        raise RecipeError(f"{path} is empty; a recipe begins with a line such as `recipe: base`")
    if not isinstance(value, dict):
        raise RecipeError(
            f"{path} holds {'a list' if isinstance(value, list) else 'one value'}, expected keys and values"
        )
    return value, lines


def _files_nearby(path: Path) -> str:
    files = [str(file) for file in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
    near = difflib.get_close_matches(str(path), files, 1, 0.4)
    return f"did you mean {near[0]}?" if near else "give the YAML file of a recipe"


def _check_kind(mapping: dict[str, Any], recipe_class: type[RunRecipe], path: Path) -> None:
    expected = recipe_class.model_fields["recipe"].default
    here = ENTRY_POINTS[expected]
    if "recipe" not in mapping:
        raise RecipeError(f"{path} has no key `recipe`; a recipe of {here} begins with `recipe: {expected}`")
    found = mapping["recipe"]
    if found == expected:
        return
    if isinstance(found, str) and found in ENTRY_POINTS:
        raise RecipeError(
            f"{path} is a recipe of {ENTRY_POINTS[found]} (recipe: {found}), not of {here}; "
            f"run it with: python -m {ENTRY_POINTS[found]} {path}"
        )
    raise RecipeError(f"{path} says recipe: {found}, expected one of {', '.join(ENTRY_POINTS)}")

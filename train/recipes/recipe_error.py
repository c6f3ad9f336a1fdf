"""What is wrong with a recipe, in the words of its file and command line."""

from collections.abc import Mapping, Sequence
from typing import Any, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from train.recipes.keys import Key, find_key, unknown_key, value_text
from train.recipes.recipe import PROBLEM, Recipe

#: Where each value came from: "configs/cdm/fashion.yaml, line 7", "the command line".
Origins = Mapping[tuple[Any, ...], str]


class RecipeError(ValueError):
    """A recipe that cannot be run; the message says what was found where, and what was expected."""


def explain(error: ValidationError, recipe: type[Recipe], origins: Origins) -> RecipeError:
    """Puts pydantic's findings into words, one line each."""
    lines = [_line(detail, recipe, origins) for detail in error.errors()]
    return RecipeError("\n".join(dict.fromkeys(lines)))  # each member of a union complains by itself


def origin_text(path: Sequence[Any], origins: Origins) -> str:
    """`` (configs/x.yaml, line 7)``: where the value at ``path``, or what holds it, was given."""
    for length in range(len(path), 0, -1):
        if tuple(path[:length]) in origins:
            return f" ({origins[tuple(path[:length])]})"
    return ""


def _line(detail: ErrorDetails, recipe: type[Recipe], origins: Origins) -> str:
    location = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return unknown_key(recipe, location) + origin_text(location, origins)
    key, below = find_key(recipe, location)
    if key is None:  # a check of the whole recipe
        return detail["msg"]
    if detail["type"] == "missing" and not below:
        return f"{key.name} is missing; expected {key.expected}: {key.doc}"
    name, where = key.name + _item(key, below), origin_text(location, origins)
    if detail["type"] == PROBLEM:
        return f"{name}: {detail['msg']}{where}"
    return f"{name}: found {_found(detail['input'])}, expected {key.expected}{where}"


def _item(key: Key, below: Sequence[Any]) -> str:
    # Below a plain value pydantic names the item of a list or mapping, but also the member of a union.
    by_name = get_origin(key.field.annotation) is dict
    return "".join(f"[{part}]" for part in below if isinstance(part, int) or (by_name and part != "[key]"))


def _found(value: Any) -> str:
    if isinstance(value, str):
        return f"the text {value!r}"
    if isinstance(value, dict):
        return f"a section with the keys {', '.join(map(str, value))}" if value else "an empty section"
    return value_text(value)

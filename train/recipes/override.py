"""A value from the command line that takes the place of one in the recipe's file."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml

from train.recipes.keys import find_key, section_text, unknown_key
from train.recipes.recipe import Recipe
from train.recipes.recipe_error import RecipeError
from train.recipes.yaml_text import read_yaml


@dataclass(frozen=True)
class Override:
    """``--train.lr 2e-5``.

    Attributes:
        path: the names that lead to the value.
        value: what stands in the file's place, not yet checked.
    """

    path: tuple[str, ...]
    value: Any

    @classmethod
    def parse(
        cls, recipe: type[Recipe], name: str, words: Sequence[str], options: Sequence[str] = ()
    ) -> "Override":
        """Reads the words after ``--name`` as the type of that key wants them.

        Text is taken as it is. A list is several words or one ``[a, b]``; a mapping is ``{a: 1}`` or one
        key of it (``--train.lr_of.fake 5e-6``); ``true`` may be left out; ``null`` and ``none`` are null
        where the key allows it. All else is read as in the file.

        Args:
            options: the program's other options, for the question what was meant.

        Raises:
            RecipeError: no such key, or a number of words that the key does not take.
        """
        path = tuple(name.split("."))
        key, below = find_key(recipe, path)
        in_mapping = key is not None and get_origin(key.field.annotation) is dict and len(below) == 1
        if key is None or (below and not in_mapping):
            raise RecipeError(f"{unknown_key(recipe, path, options)} (the command line)")
        annotation = get_args(key.field.annotation)[1] if in_mapping else key.field.annotation
        if words in (["null"], ["none"]) and _allows_null(annotation, words[0]):
            return cls(path, None)
        if key.section is not None:
            raise RecipeError(
                f"--{name} is {section_text(key.section, name)}; give one of these (the command line)"
            )
        return cls(path, _read_words(f"--{name}", annotation, words, key.expected))

    def apply(self, mapping: dict[str, Any]) -> None:
        """Puts the value into ``mapping``, in place; a section that is null or absent is begun."""
        for depth, name in enumerate(self.path[:-1]):
            if mapping.get(name) is None:
                mapping[name] = {}
            mapping = mapping[name]
            if not isinstance(mapping, dict):
                section = ".".join(self.path[: depth + 1])
                raise RecipeError(f"{section} is {mapping!r} in the file, expected a section with keys")
        mapping[self.path[-1]] = self.value


def _read_words(option: str, annotation: Any, words: Sequence[str], expected: str) -> Any:
    kinds = [kind for kind in _members(annotation) if kind is not NoneType]
    if any(get_origin(kind) in (list, tuple) for kind in kinds):
        items = next(get_args(kind)[0] for kind in kinds if get_origin(kind) in (list, tuple))
        if len(words) == 1 and words[0].startswith("["):
            return _read_yaml(option, words[0])
        if len(words) > 1 or str not in kinds:
            return [_read_words(option, items, [word], expected) for word in words]
    if not words and bool in kinds:
        return True
    if len(words) != 1:
        found = f"found {len(words)}: {' '.join(words)}" if words else "found none"
        raise RecipeError(f"{option} takes one value, {expected}; {found} (the command line)")
    if str in kinds or any(get_origin(kind) is Literal for kind in kinds):
        return words[0]
    return _read_yaml(option, words[0])


def _read_yaml(option: str, word: str) -> Any:
    try:
        return read_yaml(word)[0]
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or error
        raise RecipeError(f"{option} {word} cannot be read: {reason} (the command line)") from None


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _allows_null(annotation: Any, word: str) -> bool:
    kinds = _members(annotation)
    return NoneType in kinds and not any(
        word in get_args(kind) for kind in kinds if get_origin(kind) is Literal
    )

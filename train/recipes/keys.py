"""The keys of a recipe class: what each is called, takes, defaults to and means."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from train.recipes.recipe import Recipe

_NAMES = {str: "text", int: "integer", float: "number", bool: "true or false", NoneType: "null"}


@dataclass(frozen=True)
class Key:
    """One key of a recipe.

    Attributes:
        path: the names that lead to it.
        field: pydantic's account of it.
        section: the recipe class of the keys below it; None for a plain value.
    """

    path: tuple[str, ...]
    field: FieldInfo
    section: type[Recipe] | None

    @property
    def name(self) -> str:
        """Dotted, as on the command line: ``train.lr``."""
        return ".".join(self.path)

    @property
    def doc(self) -> str:
        return " ".join((self.field.description or "").split())

    @property
    def expected(self) -> str:
        """What a value may be: ``number > 0 or null``."""
        return type_text(self.field.annotation, self.field.metadata)

    @property
    def default(self) -> str:
        if self.field.is_required():
            return "needed"
        value = self.field.get_default(call_default_factory=True, validated_data={})
        return "default as below" if isinstance(value, Recipe) else f"default {value_text(value)}"

    @property
    def nullable(self) -> bool:
        return NoneType in get_args(self.field.annotation)


def recipe_keys(recipe: type[Recipe], prefix: tuple[str, ...] = ()) -> Iterator[Key]:
    """All keys of ``recipe`` in order, each section before what is in it."""
    for name, field in recipe.model_fields.items():
        key = Key((*prefix, name), field, section_class(field.annotation))
        yield key
        if key.section is not None:
            yield from recipe_keys(key.section, key.path)


def find_key(recipe: type[Recipe], path: Sequence[Any]) -> tuple[Key | None, tuple[Any, ...]]:
    """The deepest key that ``path`` leads to, and what of the path is left below it."""
    key: Key | None = None
    section: type[Recipe] | None = recipe
    for depth, name in enumerate(path):
        if section is None or name not in section.model_fields:
            return key, tuple(path[depth:])
        field = section.model_fields[name]
        section = section_class(field.annotation)
        key = Key(tuple(path[: depth + 1]), field, section)
    return key, ()


def unknown_key(recipe: type[Recipe], path: Sequence[Any], options: Sequence[str] = ()) -> str:
    """Says that ``path`` is no key and names the nearest ones.

    Args:
        options: further words that are known where the key was found, for instance ``--dry-run``.
    """
    name = ".".join(str(part) for part in path)
    near = _nearest(recipe, [str(part) for part in path])
    near += difflib.get_close_matches(f"--{name}", options, 1, 0.8)
    if near:
        return f"{name} is not a key of this recipe; did you mean {' or '.join(near[:3])}?"
    parent, _ = find_key(recipe, path[:-1])
    section = recipe if parent is None else parent.section
    if section is None:
        assert parent is not None
        return f"{name} is not a key of this recipe; {parent.name} takes {parent.expected}"
    return f"{name} is not a key of this recipe; {_keys_of(section, parent)}"


def section_text(section: type[Recipe], name: str) -> str:
    """What a section is made of, for an error message."""
    return f"a section with keys such as {name}.{next(iter(section.model_fields))}"


def _keys_of(section: type[Recipe], parent: Key | None) -> str:
    return f"{parent.name if parent else 'it'} has {', '.join(section.model_fields)}"


def _nearest(recipe: type[Recipe], path: list[str]) -> list[str]:
    # The key of another section, or the last name misspelt, or both.
    keys = list(recipe_keys(recipe))
    known = {key.path: key.name for key in keys}
    sections = [list(key.path) for key in keys if key.section is not None]
    elsewhere = [name for p, name in known.items() if p[-1] == path[-1]]
    siblings = {p[-1]: name for p, name in known.items() if p[:-1] == tuple(path[:-1])}
    near = difflib.get_close_matches(path[-1], siblings, 1, 0.6)
    if elsewhere or near:
        return elsewhere or [siblings[near[0]]]
    above = {".".join(path[:depth]) for depth in range(len(path)) if path[:depth] in sections}
    return difflib.get_close_matches(".".join(path), [n for n in known.values() if n not in above], 1, 0.6)


def section_class(annotation: Any) -> type[Recipe] | None:
    """The recipe class of an annotation ``Section`` or ``Section | None``."""
    for kind in get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,):
        if isinstance(kind, type) and issubclass(kind, Recipe):
            return kind
    return None


def type_text(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """An annotation in words: ``number in (0, 1]``, ``list of text or null``."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        plain = [type_text(kind, metadata) for kind in arguments if kind is not NoneType]
        return " or ".join(plain + ["null"] * (NoneType in arguments))
    if origin is Literal:
        choices = ", ".join(str(choice) for choice in arguments)
        return choices if len(arguments) == 1 else f"one of {choices}"
    if origin is list:
        return f"list of {type_text(arguments[0])}"
    if origin is tuple:
        return f"list of {len(arguments)}, each {type_text(arguments[0])}"
    if origin is dict:
        return f"mapping of names to {type_text(arguments[1])}"
    if section_class(annotation) is not None:
        return "a section"
    return _NAMES[annotation] + _range_text(metadata)


def _range_text(metadata: Sequence[Any]) -> str:
    bound = {}
    for constraint in metadata:
        # pydantic keeps what Field was given in a general container beside annotated-types' classes
        for item in getattr(constraint, "metadata", [constraint]):
            for name in ("ge", "gt", "le", "lt", "multiple_of"):
                if getattr(item, name, None) is not None:
                    bound[name] = getattr(item, name)
    low = f"[{bound['ge']}" if "ge" in bound else f"({bound['gt']}" if "gt" in bound else None
    high = f"{bound['le']}]" if "le" in bound else f"{bound['lt']})" if "lt" in bound else None
    text = ""
    if low and high:
        text = f" in {low}, {high}"
    elif low or high:
        sign = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
        text = "".join(f" {sign[name]} {value}" for name, value in bound.items() if name in sign)
    return text + (f", a multiple of {bound['multiple_of']}" if "multiple_of" in bound else "")


def value_text(value: Any) -> str:
    """A value as YAML writes it on one line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(value_text(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {value_text(item)}" for name, item in value.items()) + "}"
    return str(value)

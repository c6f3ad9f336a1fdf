"""What every part of a recipe is: typed, frozen, and without a place for a misspelt key."""

from types import NoneType
from typing import get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

#: Type of the errors that the checks of recipes raise themselves.
PROBLEM = "recipe"


def problem(text: str) -> PydanticCustomError:
    """The error of a check that compares values: what was found, expected, and what to change."""
    return PydanticCustomError(PROBLEM, "{text}", {"text": text})


class Recipe(BaseModel):
    """A recipe or a part of one.

    Types are strict (``true`` is no number, ``5`` is no text), numbers are finite, an unknown key is an
    error. A list is accepted where a tuple is declared, since YAML has only lists.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @field_validator("*", mode="after")
    @classmethod
    def _text_says_something(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        if not value.strip():
            raise problem("it is empty")
        assert info.field_name is not None
        nullable = NoneType in get_args(cls.model_fields[info.field_name].annotation)
        if nullable and value.lower() in ("none", "null"):
            raise problem(f"found the text {value!r}; write null for none")
        return value

"""What every part of a recipe is: typed, frozen, and without a place for a misspelt key."""

from pydantic import BaseModel, ConfigDict, field_validator
from pydantic_core import PydanticCustomError


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
    def _no_empty_text(cls, value: object) -> object:
        if isinstance(value, str) and not value.strip():
            raise PydanticCustomError("empty_text", "it is empty")
        return value

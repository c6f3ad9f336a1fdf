"""What a player's page may say to the server."""

from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

#: Of a message, in characters.
MAX_LENGTH = 4096

_Stick = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
_Button = Annotated[int, Field(ge=0, le=1)]
_Milliseconds = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Hold(_Message):
    """The controls as they are now, in the order of :mod:`vision.world.gamepad`."""

    type: Literal["hold"]
    #: The page's clock in milliseconds when the player moved them.
    stamp: _Milliseconds
    sticks: tuple[_Stick, _Stick, _Stick, _Stick]
    buttons: tuple[_Button, _Button, _Button, _Button, _Button, _Button]


class Painted(_Message):
    """A chunk begins to be seen."""

    type: Literal["painted"]
    #: The numbers that came with the chunk.
    play: Annotated[int, Field(ge=0)]
    chunk: Annotated[int, Field(ge=0)]
    #: Milliseconds until the page has shown all that it was sent.
    left: Annotated[float, Field(ge=0, le=60_000, allow_inf_nan=False)]


class Reset(_Message):
    """Begin anew."""

    type: Literal["reset"]
    #: Name of a first frame.
    frame: Annotated[str, Field(max_length=200)]
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 0
    #: None for the model's own.
    guidance: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] | None = None
    #: Of sampling; None for the model's own.
    steps: Annotated[int, Field(ge=1, le=100)] | None = None


class Record(_Message):
    """Record from now on, or end the recording and save it."""

    type: Literal["record"]
    on: bool


Message = Union[Hold, Painted, Reset, Record]  # noqa: UP007 - pydantic reads it at run time
_READER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


class MistakeError(ValueError):
    """What a client did wrong, to be told to it."""


def parse(text: str) -> Message:
    """Reads a message.

    Raises:
        MistakeError: too long, not JSON, of another shape, or values out of range.
    """
    if len(text) > MAX_LENGTH:
        raise MistakeError(f"a message has {len(text)} characters, expected at most {MAX_LENGTH}")
    try:
        return _READER.validate_json(text)
    except ValidationError as error:
        raise MistakeError(f"a message was not understood: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    found: Any = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in found["loc"])
    value = repr(found.get("input"))
    shown = value if len(value) <= 80 else value[:77] + "..."
    return f"{place + ': ' if place else ''}{found['msg']}; found {shown}"

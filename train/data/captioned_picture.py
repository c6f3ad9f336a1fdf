"""Pictures with captions, before they are decoded."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class CaptionedPicture:
    """One picture of a data set.

    Attributes:
        name: what to call it in a message, its path say.
        caption: its text, not empty.
        content: gives the bytes of its file.
    """

    name: str
    caption: str
    content: Callable[[], bytes]


@dataclass(frozen=True)
class PictureListing:
    """The pictures of a source, and those that it names but that cannot be used.

    Attributes:
        pictures: in an order that does not depend on the machine.
        bad: one line each, name and reason.
    """

    pictures: list[CaptionedPicture]
    bad: list[str]

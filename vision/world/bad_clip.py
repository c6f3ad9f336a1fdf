"""What can be wrong with a recorded clip."""

from typing import Literal

from vision.media.bad_item import BadItemError

Kind = Literal["too short", "unreadable", "columns", "counts", "values"]


class BadClipError(BadItemError):
    """A clip that cannot be used; the message names the file.

    Args:
        kind: what is wrong, in a word.
        message: what was found and what was expected.
    """

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(kind, message)

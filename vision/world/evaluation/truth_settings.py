"""On which a truth set depends."""

from dataclasses import asdict, dataclass
from typing import Any

#: Raised whenever other starts, presses or rows would be played: older files are left alone.
CODE_VERSION = 1


@dataclass(frozen=True)
class TruthSettings:
    """How much is played of each split.

    Attributes:
        starts: of pairs.
        stick_starts: of clips with a held stick, of which each start takes 36.
        frames: of a clip, 4n + 1, at least 9.
        height: of the frames, in pixels.
        width: likewise.
        seed: of all draws.

    Raises:
        ValueError: other numbers of starts or frames.
    """

    starts: int = 24
    stick_starts: int = 12
    frames: int = 17
    height: int = 64
    width: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.starts, self.stick_starts) < 1:
            raise ValueError(
                f"there is at least 1 start of each kind; found {self.starts} and {self.stick_starts}"
            )
        if self.frames % 4 != 1 or self.frames < 9:
            raise ValueError(f"clips have 4n + 1 frames, at least 9; found {self.frames}, give 17 or 33")

    def facts(self) -> dict[str, Any]:
        """The settings and all else on which the frames depend, for JSON."""
        import vizdoom

        from vision.world.engine_folder import mod_hash

        return {
            **asdict(self),
            "code": CODE_VERSION,
            "engine_version": vizdoom.__version__,
            "mod_hash": mod_hash(),
        }

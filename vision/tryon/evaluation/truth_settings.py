"""On which a truth set depends."""

from dataclasses import dataclass
from typing import Any

from vision.tryon.drawing.plan import StudioSettings
from vision.tryon.drawing.writer import dataset_facts

#: Raised whenever other clips, commands or templates would be made: older files are left alone.
CODE_VERSION = 1


@dataclass(frozen=True)
class TruthSettings:
    """Which clips are drawn: test clips of a data set, whose people, garments and prints no training shows.

    Attributes:
        studio: of the data set.
        clips: how many of its test clips, at least 2, which standard errors take.

    Raises:
        ValueError: fewer clips, or a studio without actions.
    """

    studio: StudioSettings
    clips: int

    def __post_init__(self) -> None:
        if self.clips < 2:
            raise ValueError(f"found {self.clips} clips to measure on, expected at least 2")
        if self.studio.actions[0] < 1:
            raise ValueError(
                f"clips of {self.studio.actions[0]} to {self.studio.actions[1]} actions are asked for; "
                "expected at least one in each, since its time is measured"
            )

    def facts(self) -> dict[str, Any]:
        """The settings and all else on which the clips depend, for JSON."""
        # The same clips whatever is drawn of the data set beside them.
        studio = {name: value for name, value in dataset_facts(self.studio).items() if name != "unpaired"}
        return {**studio, "clips": self.clips, "code": CODE_VERSION}

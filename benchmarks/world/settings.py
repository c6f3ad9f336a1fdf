"""How much is measured of each world."""

from dataclasses import asdict, dataclass
from typing import Any

from vision.world.clip_plan import SPLITS
from vision.world.evaluation.truth_settings import TruthSettings

#: The split on which a world is judged, and the drift measured: maps that no training clip shows.
UNSEEN = "test"
#: Scales of action guidance that are compared.
SCALES = (1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        splits: of :data:`vision.world.clip_plan.SPLITS`.
        starts: of pairs, a split.
        stick_starts: of held sticks, a split.
        frames: of a clip.
        drift_chunks: chunks of a stream by which drift is measured; 0 leaves it out.
        drift_worlds: streams beside each other.
        sweep_starts: starts by which scales of guidance are compared; 0 leaves it out.
        batch_size: clips at once.
    """

    splits: tuple[str, ...] = SPLITS
    starts: int = 24
    stick_starts: int = 12
    frames: int = 17
    drift_chunks: int = 250
    drift_worlds: int = 8
    sweep_starts: int = 12
    batch_size: int = 16

    def truth(self, height: int, width: int) -> TruthSettings:
        """The truth sets that belong to these."""
        return TruthSettings(self.starts, self.stick_starts, self.frames, height, width)

    def facts(self) -> dict[str, Any]:
        """All, for JSON."""
        return {**asdict(self), "splits": list(self.splits)}


#: What --quick takes.
QUICK = Settings(starts=8, stick_starts=4, drift_chunks=50, drift_worlds=2, sweep_starts=0)
#: Iterations of each kind of arm with --quick.
QUICK_STEPS = {"world": 300, "student": 60}

"""Which clips arms are trained and measured on, and how many."""

from dataclasses import dataclass, replace
from typing import Any

from vision.tryon.drawing.plan import StudioSettings
from vision.tryon.evaluation.truth_settings import TruthSettings

#: Kinds of clips, by name, with what the tables call them. Actions are at most 10 % of the frames in the
#: first two.
CONDITIONS = {
    "decoy": "decoy hand: only the text tells when",
    "informative": "informative hand: it comes, acts and rests",
    "segments": "decoy hand, three or four actions, six to nine segments",
}
_SPARSE: dict[str, Any] = {"frames": 41, "actions": (1, 1), "action_frames": (4, 4), "unpaired": "none"}
_STUDIO = {
    "decoy": StudioSettings(**_SPARSE, decoy="always"),
    "informative": StudioSettings(**_SPARSE, decoy="none"),
    "segments": StudioSettings(**{**_SPARSE, "actions": (3, 4)}, decoy="always"),
}


@dataclass(frozen=True)
class Settings:
    """How much is trained and measured.

    Attributes:
        quick: clips of 17 frames.
        clips: that are measured on, of each kind.
        train_clips: that are trained on, of each kind.
        start_steps: iterations of what all arms start from.
        steps: iterations of an arm; None for the recipe's.
    """

    quick: bool = False
    clips: int = 24
    train_clips: int = 1000
    start_steps: int = 2000
    steps: int | None = None

    def studio(self, condition: str) -> StudioSettings:
        """The data set of a kind of clips."""
        settings = _STUDIO[condition]
        if not self.quick:
            return settings
        return replace(settings, frames=17, actions=(2, 2) if condition == "segments" else (1, 1))

    def truth(self, condition: str) -> TruthSettings:
        """What is measured on."""
        return TruthSettings(self.studio(condition), self.clips)


#: What --quick takes.
QUICK = Settings(quick=True, clips=4, train_clips=40, start_steps=20, steps=40)
QUICK_CHANGES = {"train.batch_size": 4, "train.ema_decay": 0.9}
QUICK_ARMS = ("plain", "mask", "arope")


def model_truth(frames: int, clips: int) -> dict[str, TruthSettings]:
    """What a given model is measured on: the studio's usual clips of the length that it was trained with.

    Args:
        frames: of a clip.
        clips: of each kind.
    """
    return {
        "decoy": TruthSettings(StudioSettings(frames=frames, decoy="always"), clips),
        "informative": TruthSettings(StudioSettings(frames=frames, decoy="none"), clips),
    }

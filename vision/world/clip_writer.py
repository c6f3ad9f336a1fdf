"""Plays planned clips and writes them in CrossFPS's layout."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import vizdoom

from vision.world.clip_folder import write_clip_folder
from vision.world.clip_plan import ClipPlan
from vision.world.engine import FRAME_RATE, FRAME_SKIP, Engine, EpisodeEndedError
from vision.world.engine_folder import mod_hash
from vision.world.footage import STATE_COLUMNS, Footage
from vision.world.policies import POLICIES

_FORWARD_SIGN = -1
_ATTEMPTS = 20


@dataclass(frozen=True)
class RecordingSettings:
    """What all clips of a data set have in common.

    Attributes:
        seed: of the data set.
        frames: of a clip.
        height: of the frames, in pixels.
        width: likewise.
    """

    seed: int
    frames: int
    height: int
    width: int

    def facts(self) -> dict[str, Any]:
        """The settings and all else on which the clips depend, for JSON."""
        return {
            **asdict(self),
            "frame_rate": FRAME_RATE,
            "frame_skip": FRAME_SKIP,
            "forward_sign": _FORWARD_SIGN,
            "engine": "vizdoom",
            "engine_version": vizdoom.__version__,
            "mod_hash": mod_hash(),
        }


def write_clip(
    folder: Path, footage: Footage, sticks: np.ndarray, buttons: np.ndarray, facts: dict[str, Any]
) -> None:
    """Writes a clip's folder in CrossFPS's layout, whole or not at all.

    Args:
        folder: of the clip.
        footage: T frames and states.
        sticks: shape (T, 4), as the engine took them, with LY < 0 for forward.
        buttons: shape (T, 6).
        facts: for ``metadata.json``.
    """
    write_clip_folder(
        folder,
        footage.frames,
        sticks,
        buttons,
        frame_rate=FRAME_RATE,
        logged={name: footage.state(name) for name in STATE_COLUMNS},
        metadata=facts,
    )


class ClipWriter:
    """Records clips with one engine a game, started when it is first needed.

    Args:
        folder: of the data set.
        settings: of all clips.
    """

    def __init__(self, folder: Path, settings: RecordingSettings) -> None:
        self.folder, self.settings = folder, settings
        self._engines: dict[str, Engine] = {}

    def record(self, plan: ClipPlan) -> None:
        """Plays a clip and writes its folder, whole or not at all.

        Raises:
            RuntimeError: level after level ended before the clip was over.
        """
        sticks, buttons = POLICIES[plan.policy](plan.seed, self.settings.frames)
        footage, seed = self._played(plan, sticks, buttons)
        facts = {
            "uuid": f"{plan.game}_{plan.map_name}_{plan.number:07d}",
            "chunk_id": plan.number,
            "chunk_size": self.settings.frames,
            **{key: value for key, value in asdict(plan).items() if key not in ("number", "seed")},
            "policy_seed": plan.seed,
            "engine_seed": seed,
            "dataset": self.settings.facts(),
        }
        write_clip(self.folder / plan.name, footage, sticks, buttons, facts)

    def close(self) -> None:
        """Ends the engines."""
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()

    def _played(self, plan: ClipPlan, sticks: np.ndarray, buttons: np.ndarray) -> tuple[Footage, int]:
        if plan.game not in self._engines:
            self._engines[plan.game] = Engine(
                plan.game,
                height=self.settings.height,
                width=self.settings.width,
                forward_sign=_FORWARD_SIGN,
            )
        for attempt in range(_ATTEMPTS):
            seed = plan.engine_seed(attempt)
            try:
                return self._engines[plan.game].play(plan.map_name, seed, sticks, buttons), seed
            except EpisodeEndedError:  # an exit was near; the next seed starts elsewhere
                continue
        raise RuntimeError(
            f"{plan.name}: {_ATTEMPTS} starts on {plan.map_name} ended before the clip was over"
        )

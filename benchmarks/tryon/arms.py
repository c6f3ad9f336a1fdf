"""What is compared: one base recipe, and how each arm differs from it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: The recipe of all arms.
BASE = Path(__file__).parents[2] / "configs" / "tryon" / "bench" / "tryon.yaml"
#: The entry point that trains them.
MODULE = "train.tryon"
#: The arm of each kind of clips that the others are compared with.
MAIN = {"decoy": "arope", "informative": "informative-arope", "segments": "segments-arope"}


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        name: short name, also of its folders.
        label: what the tables say.
        condition: kind of clips, of :data:`benchmarks.tryon.settings.CONDITIONS`.
        changes: values of recipe keys that differ from the base recipe.
        hands: whether it is shown the hands.
    """

    name: str
    label: str
    condition: str = "decoy"
    changes: dict[str, Any] = field(default_factory=dict)
    hands: bool = True


def _timed(kind: str) -> dict[str, Any]:
    return {"timing.kind": kind}


_NO_CAPTIONS, _NO_WEIGHT = {"data.actions": False}, {"flow.action_weight": 0.0}
_WAYS = {
    "plain": "action captions, untimed",
    "concat_time": "begin and end in the captions",
    "mask": "hard mask",
    "arope": "A-RoPE",
    "tarope": "TaRoPE (gaps rotated)",
    "rerope": "ReRoPE",
}


def _informative(name: str, label: str, **fields: Any) -> Arm:
    return Arm(f"informative-{name}", label, "informative", **fields)


ARMS = (
    Arm("no-captions", "no action captions", changes=_NO_CAPTIONS),
    *(Arm(kind, label, changes=_timed(kind)) for kind, label in _WAYS.items()),
    Arm("no-weight", "A-RoPE, without the action term", changes=_NO_WEIGHT),
    Arm("no-hands", "A-RoPE, without the hands", hands=False),
    _informative("no-captions", "no action captions", changes=_NO_CAPTIONS),
    _informative("plain", _WAYS["plain"], changes=_timed("plain")),
    _informative("arope", _WAYS["arope"]),
    _informative("no-weight", "A-RoPE, without the action term", changes=_NO_WEIGHT),
    _informative("no-hands", "A-RoPE, without the hands", hands=False),
    *(Arm(f"segments-{kind}", label, "segments", _timed(kind)) for kind, label in _WAYS.items()),
)

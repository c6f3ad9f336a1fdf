"""Which candidates stay."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Selection:
    """The candidates that stay, and why.

    Attributes:
        names: of the candidates, the best first.
        score: name of the score, empty where the names were given by hand.
        scores: score of each candidate, also of those that go.
        log: of the search, one record a step, for the file.
    """

    names: tuple[str, ...]
    score: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    log: tuple[Mapping[str, float], ...] = ()

    def record(self) -> dict[str, Any]:
        """What an adapter's file says of it."""
        told = {"names": list(self.names), "score": self.score, "scores": dict(self.scores)}
        return {"selection": told, "search_log": [dict(step) for step in self.log]}


def check_choice(costs: Mapping[str, int], k: int | None, budget: int | None) -> None:
    """Raises ValueError where no choice can be made of candidates with these costs, whatever their scores."""
    if k is None and budget is None:
        raise ValueError("give k, the number of candidates, or budget, the number of parameters, or both")
    if k is not None and not 1 <= k <= len(costs):
        raise ValueError(f"k is {k}; expected 1 to {len(costs)}, the number of candidates")
    if budget is not None and budget < min(costs.values()):
        raise ValueError(
            f"no candidate fits into the budget of {budget:,} parameters; the cheapest costs "
            f"{min(costs.values()):,}; raise the budget or give k"
        )


def choose(
    scores: Mapping[str, float],
    costs: Mapping[str, int],
    k: int | None = None,
    budget: int | None = None,
) -> tuple[str, ...]:
    """The names to keep, the best first; equal ones in the order of their names.

    Without a budget the k highest scores. With one, candidates whose score is above zero by score per
    parameter, those that no longer fit passed over, at most k of them.

    Args:
        scores: by name; with a budget, a gain for which zero is none.
        costs: parameters by name, of the same candidates.
        k: how many.
        budget: parameters in all.

    Raises:
        ValueError: neither k nor budget, k out of range, a score that is not finite, or nothing fits or
            gains.
    """
    check_choice(costs, k, budget)
    if wrong := [name for name, score in scores.items() if not math.isfinite(score)]:
        raise ValueError(
            f"the score of {wrong[0]!r} is {scores[wrong[0]]}, so that candidates have no order; the loss "
            "that it comes from must be finite"
        )
    if budget is None:
        return tuple(sorted(scores, key=lambda name: (-scores[name], name))[:k])
    chosen: list[str] = []
    for name in sorted(scores, key=lambda name: (-scores[name] / costs[name], name)):
        if scores[name] > 0 and costs[name] <= budget and len(chosen) < (k or len(scores)):
            chosen.append(name)
            budget -= costs[name]
    if not chosen:
        raise ValueError(
            f"no candidate gains anything within the budget of {budget:,} parameters; the cheapest costs "
            f"{min(costs.values()):,} and the best score is {max(scores.values()):.3g}; raise the budget or "
            "give k"
        )
    return tuple(chosen)

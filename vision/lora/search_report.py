"""What a search found, and which candidates to keep."""

from collections.abc import Sequence
from pathlib import Path

from vision.lora.bilevel_search import Loss
from vision.lora.gated_lora import GatedLora
from vision.lora.halves import HalfLoss
from vision.lora.scoring import Score, score_candidates
from vision.lora.selection import Selection, choose
from vision.media.curves import plot_curves

#: Records of the log that an adapter's file keeps, at most.
_KEPT_RECORDS = 50


class SearchReport:
    """What a search found.

    Attributes:
        lora: the gated LoRA as the search left it.
        log: see :class:`~vision.lora.bilevel_search.BilevelSearch`.
    """

    def __init__(self, lora: GatedLora, log: Sequence[dict[str, float]], upper: Loss) -> None:
        self.lora, self.log, self._upper = lora, list(log), upper

    def select(
        self,
        k: int | None = None,
        score: Score = "zero_out",
        budget: int | None = None,
        *,
        upper: Loss | None = None,
        batches: int | None = None,
    ) -> Selection:
        """Chooses candidates by score; nothing is changed.

        Args:
            k: how many.
            score: see :func:`~vision.lora.scoring.score_candidates`.
            budget: parameters in all, in place of k or beside it.
            upper: loss for ``zero_out`` and ``keep_only``; the search's own where left out.
            batches: over which these take its mean, steps 0 to ``batches - 1``; a whole pass of a
                :class:`~vision.lora.halves.HalfLoss`, else 8, where left out.

        Raises:
            ValueError: an unknown score, or a k or budget that cannot be met.
        """
        upper = upper or self._upper
        if batches is None:
            batches = upper.batches if isinstance(upper, HalfLoss) else 8
        scores = score_candidates(self.lora, score, upper, batches)
        costs = {candidate.name: candidate.cost for candidate in self.lora.candidates}
        return Selection(choose(scores, costs, k, budget), score, scores, self._short_log())

    def draw(self, path: str | Path) -> None:
        """Draws gates, hypergradients, norms, multiplier and losses over the steps as a PNG.

        Of many candidates, those whose gates end lowest and highest.
        """
        left_out = self.lora.gates.keys() - set(self.outermost())
        shown = [{k: v for k, v in step.items() if k.partition("/")[2] not in left_out} for step in self.log]
        plot_curves(shown, path)

    def outermost(self, count: int = 12) -> list[str]:
        """The candidates, at most so many, whose gates end lowest and highest, in that order."""
        order = sorted(self.lora.gates, key=lambda name: (self.log[-1][f"gate/{name}"], name))
        return order if len(order) <= count else order[: count // 2] + order[count // 2 - count :]

    def _short_log(self) -> tuple[dict[str, float], ...]:
        """Losses, multiplier and gates of some steps, rounded: it goes into the header of a small file."""
        every = -(-len(self.log) // _KEPT_RECORDS)
        return tuple(
            {
                name: value if name == "step" else float(f"{value:.6g}")
                for name, value in record.items()
                if not name.startswith(("hypergradient/", "norm/"))
            }
            for record in [*self.log[:-1:every], *self.log[-1:]]
        )

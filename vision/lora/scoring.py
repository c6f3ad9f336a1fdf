"""How much each candidate matters after a search."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from vision.lora.gated_lora import GatedLora

Score = Literal["zero_out", "keep_only", "gate_norm", "gate"]


@torch.no_grad()
def score_candidates(
    lora: GatedLora, score: Score, upper: Callable[[int], Tensor], batches: int
) -> dict[str, float]:
    """The score of each candidate; higher is better.

    - ``zero_out``: what the upper loss rises by when this candidate is silenced.
    - ``keep_only``: what it falls by from that of the base when all others are.
    - ``gate_norm``: length of the gated update by that of the base's weights.
    - ``gate``: the gate (BiLaLoRA, arXiv 2603.10872). It is the weaker guide: a gate and the update that it
      multiplies can grow in each other's place.

    Args:
        lora: after the search.
        score: see above.
        upper: the upper loss by number of a batch.
        batches: over which the first two scores take the mean of the loss; the same for all candidates.
    """
    names = list(lora.gates)
    if score == "gate":
        # In float64: in float32 gates above 0.99999994 are one gate.
        return {name: gate.alpha.double().sigmoid().item() for name, gate in lora.gates.items()}
    if score == "gate_norm":
        return lora.relative_norms()
    if score not in get_args(Score):
        raise ValueError(f"score {score!r} does not exist; use one of {', '.join(get_args(Score))}")
    if batches < 1:
        raise ValueError(f"batches is {batches}; the upper loss needs 1 or more")

    def loss(silent: list[str]) -> float:
        with lora.silenced(silent):
            return sum(upper(number).item() for number in range(batches)) / batches

    if score == "zero_out":
        whole = loss([])
        return {name: loss([name]) - whole for name in names}
    base = loss(names)
    return {name: base - loss([other for other in names if other != name]) for name in names}

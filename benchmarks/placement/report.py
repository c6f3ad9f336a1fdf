"""The table of the placement benchmark."""

import math
from typing import Any, get_args

import torch

from benchmarks.placement.network import COST
from benchmarks.placement.planting import DROP
from benchmarks.placement.runs import METHODS, NAMES, PLANTED
from benchmarks.transformer import table
from vision.lora.scoring import Score
from vision.provenance import machine_facts

#: Share of the planted blocks that the default search must find.
ACCEPTED = 7 / 12
LABELS = {
    "rank_one": "bilevel, rank-one (BiLaLoRA, equation 7)",
    "first_order": "bilevel, first order",
    "cg": "bilevel, conjugate gradients",
    "joint": "joint, no second half",
}


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson's formula."""
    z, share = 1.96, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    width = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return middle - width, middle + width


def hits_of(results: list[dict[str, Any]], method: str, score: str) -> tuple[int, int]:
    """Planted blocks that were found, and how many there were."""
    own = [result for result in results if result["method"] == method]
    found = sum(len(set(result["found"][score]) & set(result["planted"])) for result in own)
    return found, PLANTED * len(own)


def recall(results: list[dict[str, Any]], method: str, score: str) -> str:
    """A cell: hits, share and interval."""
    hits, count = hits_of(results, method, score)
    low, high = wilson(hits, count)
    return f"{hits}/{count} = {hits / count:.2f} ({low:.2f} to {high:.2f})"


def shares(results: list[dict[str, Any]]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Recall and the ends of its interval, by search and score, for :func:`draw_recall`."""
    found = {}
    for method in _methods(results):
        hits = {score: hits_of(results, method, score) for score in get_args(Score)}
        found[method] = {score: (own[0] / own[1], *wilson(*own)) for score, own in hits.items()}
    return found


def verdict(results: list[dict[str, Any]]) -> tuple[bool, str]:
    """Whether the search with its default score finds enough, and a sentence that says it."""
    hits, count = hits_of(results, "rank_one", "zero_out")
    passed = hits / count >= ACCEPTED
    return passed, (
        f"{'Accepted' if passed else 'Not accepted'}: rank-one with the zero-out score finds {hits} of "
        f"{count} planted blocks; expected at least {math.ceil(ACCEPTED * count)} (chance "
        f"{PLANTED / len(NAMES) * count:.0f})."
    )


def page(
    results: list[dict[str, Any]], settings: dict[str, Any], command: str, sentence: str, picture: str
) -> str:
    """The Markdown page.

    Args:
        results: of :func:`~benchmarks.placement.runs.run_case`, one or more.
        settings: of the runs.
        command: that made it.
        sentence: the verdict.
        picture: name of the picture beside it.
    """
    scores = get_args(Score)
    methods = _methods(results)
    rows = [[LABELS[m], *(recall(results, m, s) for s in scores)] for m in methods]
    chance = f"{PLANTED / len(NAMES):.2f} (exact)"
    rows.append(["random", *[chance] * len(scores)])
    by_block = []
    for name in NAMES:
        own = [r for r in results if name in r["planted"] and r["method"] == methods[0]]
        found = [sum(name in r["found"][score] for r in own) for score in scores]
        by_block.append([name, str(len(own)), *map(str, found)])
    nets = sorted({r["net"] for r in results})
    count = len({(r["net"], *r["planted"]) for r in results})
    facts = ", ".join(f"{name} {value}" for name, value in machine_facts(torch.device("cpu")).items())
    levels = {name: _mean([r["psnr"][name] for r in results]) for name in results[0]["psnr"]}
    strength = _mean([s for r in results for s in r["strengths"]])
    told = ", ".join(f"{name} {value:.2f}" for name, value in levels.items())
    return (
        "# Where a LoRA belongs: planted blocks\n\n"
        f"`{command}`\n\n{sentence}\n\n"
        "A dehazing network with blocks of 12, 24 and 48 channels, without skip connections, is trained on "
        f"synthetic haze ({settings['pretraining']:,} steps), then {PLANTED} of its {len(NAMES)} blocks are "
        "damaged, each by an update of an adapter's form and rank that was trained upwards, so strong that "
        f"it costs {DROP:g} dB by itself ({strength:.0%} of the length of the weights in the mean). The "
        f"search sees {settings['pictures']} pairs of the same haze in two halves, {settings['steps']} "
        f"steps, batch {settings['batch']}; each block's LoRA has {COST:,} parameters. Networks: "
        f"{len(nets)}, cases: {count}. Recall of the planted blocks among the {PLANTED} best, with its 95 % "
        "interval (Wilson; the two blocks of a case are counted as independent, which they are not quite). "
        f"PSNR on held-out crops, mean: {told} dB.\n\n"
        f"{table(['search', *(f'by {s}' for s in scores)], rows)}\n\n"
        f"Found of the cases with that block planted, {LABELS[methods[0]]}:\n\n"
        f"{table(['block', 'planted', *scores], by_block)}\n\n"
        f"![recall]({picture})\n\nMachine: {facts}.\n"
    )


def _methods(results: list[dict[str, Any]]) -> list[str]:
    return [method for method in METHODS if any(r["method"] == method for r in results)]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)

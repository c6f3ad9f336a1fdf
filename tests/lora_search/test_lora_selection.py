"""Which candidates are selected: order, ties, budgets, and what each score says."""

import pytest
import torch
from gated_networks import EACH, gated, picture, run  # pyright: ignore[reportMissingImports]
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vision.lora import SearchReport
from vision.lora.scoring import score_candidates
from vision.lora.selection import choose

tables = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.integers(-4, 9).map(float), min_size=1, max_size=9
)


@given(tables, st.data())
def test_the_best_k_do_not_depend_on_the_order_of_the_candidates(scores: dict[str, float], data):
    k = data.draw(st.integers(1, len(scores)))
    chosen = choose(scores, dict.fromkeys(scores, 1), k)
    shuffled = {name: scores[name] for name in data.draw(st.permutations(list(scores)))}
    assert choose(shuffled, dict.fromkeys(scores, 1), k) == chosen
    higher = {name: score + 17.0 for name, score in scores.items()}
    assert choose(higher, dict.fromkeys(scores, 1), k) == chosen
    kept = [(-scores[name], name) for name in chosen]
    left = [(-score, name) for name, score in scores.items() if name not in chosen]
    assert kept == sorted(kept) and len(kept) == k
    assert not left or max(kept) < min(left)


@given(tables, st.data())
def test_a_budget_is_never_exceeded_and_nothing_that_fits_is_left(scores: dict[str, float], data):
    costs = {name: data.draw(st.integers(1, 20)) for name in scores}
    budget = data.draw(st.integers(1, 60))
    k = data.draw(st.none() | st.integers(1, len(scores)))
    useful = [name for name, score in scores.items() if score > 0 and costs[name] <= budget]
    if not useful:
        with pytest.raises(ValueError, match=r"within the budget|fits into the budget"):
            choose(scores, costs, k, budget)
        return
    chosen = choose(scores, costs, k, budget)
    spent = sum(costs[name] for name in chosen)
    assert spent <= budget and len(chosen) <= (k or len(scores))
    if len(chosen) < (k or len(scores)):
        assert all(costs[name] > budget - spent for name in useful if name not in chosen)
    assert choose(dict(reversed(scores.items())), costs, k, budget) == chosen


def test_mistakes_in_k_and_budget_are_named():
    with pytest.raises(ValueError, match="give k, the number of candidates, or budget"):
        choose({"a": 1.0}, {"a": 1})
    with pytest.raises(ValueError, match="k is 3; expected 1 to 1"):
        choose({"a": 1.0}, {"a": 1}, 3)
    with pytest.raises(
        ValueError, match="no candidate fits into the budget of 9 parameters; the cheapest costs 10; raise"
    ):
        choose({"a": 1.0}, {"a": 10}, budget=9)
    with pytest.raises(ValueError, match=r"gains anything within .* 10 parameters.*best score is -1"):
        choose({"a": -1.0}, {"a": 10}, budget=10)
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(
            ValueError, match=f"the score of 'b' is {wrong}, so that candidates have no order"
        ):
            choose({"a": 1.0, "b": wrong}, {"a": 1, "b": 1}, 1)


@pytest.mark.parametrize("shift", [-100.0, -20.0, 5.0, 20.0])
def test_the_order_of_gates_does_not_depend_on_their_level(shift: float):
    network = picture()
    lora = gated(network, EACH)
    for number, alpha in enumerate(lora.alphas.values()):
        alpha.data.fill_((-1) ** number * 0.125 * number)
    report = SearchReport(lora, [{}], upper_of(network))
    before = report.select(3, "gate").names
    for alpha in lora.alphas.values():
        alpha.data.add_(shift)
    assert report.select(3, "gate").names == before


def upper_of(network):
    def upper(step: int) -> Tensor:
        return run(network, seed=step + 1).square().mean()

    return upper


def test_scores_are_differences_of_the_loss_with_gates_shut():
    network = picture()
    lora = gated(network, EACH, conv_form="loralib")
    upper = upper_of(network)
    names = list(lora.gates)

    def loss(silent: list[str]) -> float:
        """With gates shut by hand."""
        before = {name: alpha.detach().clone() for name, alpha in lora.alphas.items()}
        for name in silent:
            lora.alphas[name].data.fill_(-200.0)
        value = sum(upper(step).item() for step in range(2)) / 2
        for name, alpha in before.items():
            lora.alphas[name].data.copy_(alpha)
        return value

    zero_out = score_candidates(lora, "zero_out", upper, 2)
    keep_only = score_candidates(lora, "keep_only", upper, 2)
    for name in names:
        assert zero_out[name] == pytest.approx(loss([name]) - loss([]), abs=1e-6)
        alone = loss(names) - loss([other for other in names if other != name])
        assert keep_only[name] == pytest.approx(alone, abs=1e-6)
    gates = {name: gate().item() for name, gate in lora.gates.items()}
    assert score_candidates(lora, "gate", upper, 0) == pytest.approx(gates)
    assert score_candidates(lora, "gate_norm", upper, 0) == lora.relative_norms()
    assert any(zero_out.values())


def test_a_candidate_whose_update_is_nothing_scores_nothing():
    network = picture()
    lora = gated(network)
    with torch.no_grad():
        for layer in lora.layers(lora.candidates[0]).values():
            layer.lora_B["default"].weight.zero_()
        lora.alphas["block1"].fill_(5.0)
    report = SearchReport(lora, [{"step": 0}], upper_of(network))
    for score in ("zero_out", "keep_only", "gate_norm"):
        assert report.select(2, score).scores["block1"] == 0.0
    # The gate alone does not see it.
    assert report.select(1, "gate").names == ("block1",)
    assert report.select(1, "gate_norm").names == ("block2",)


def test_selecting_changes_nothing_and_refuses_an_unknown_score():
    network = picture()
    lora = gated(network)
    report = SearchReport(lora, [{"step": 0}], upper_of(network))
    before = run(network)
    selection = report.select(1, batches=3)
    assert torch.equal(run(network), before)
    assert selection.score == "zero_out" and set(selection.scores) == {"block1", "block2"}
    assert max(selection.scores, key=lambda name: selection.scores[name]) == selection.names[0]
    cheap = min(lora.candidates, key=lambda c: c.cost)
    assert report.select(budget=cheap.cost, score="gate_norm").names == (cheap.name,)
    with pytest.raises(ValueError, match="score 'best' does not exist; use one of zero_out, keep_only"):
        report.select(1, "best")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="batches is 0"):
        report.select(1, batches=0)

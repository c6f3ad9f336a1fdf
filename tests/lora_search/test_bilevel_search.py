"""The search: who is moved by what, its log, its repeatability, and what it refuses."""

import copy
import json

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from gated_networks import gated, picture, run, wan  # pyright: ignore[reportMissingImports]
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from vision.lora import BilevelSearch, GatedLora, SearchReport, hypergradient, on_halves, search, split_halves
from vision.lora.base_hash import base_hash

#: Numbers of pictures, which :func:`losses` draws.
ITEMS = list(range(7))


def losses(network: nn.Module, batch_size: int = 2):
    def loss(items: list[int]) -> Tensor:
        draws = [torch.Generator().manual_seed(item) for item in items]
        clear = torch.stack([torch.rand(3, 8, 8, generator=draw) for draw in draws])
        return (network(0.6 * clear + 0.3) - clear).abs().mean()

    return on_halves(loss, ITEMS, batch_size)


def searched(steps: int = 4, **options) -> tuple[GatedLora, BilevelSearch]:
    lora = gated(picture(), trained=False)
    searching = BilevelSearch(lora, *losses(lora.network), weight_rate=1e-2, **options)
    for _ in range(steps):
        searching.step()
    return lora, searching


@pytest.mark.parametrize("mode", ["rank_one", "first_order", "cg"])
def test_gates_and_weights_are_moved_by_their_own_gradients_and_the_base_by_none(mode):
    lora, searching = searched(2, hypergradient=mode, cg_steps=3)
    network = lora.network
    held = [
        {id(p) for group in o.param_groups for p in group["params"]}
        for o in (searching.gate_optimizer, searching.weight_optimizer)
    ]
    assert not held[0] & held[1]
    assert held[0] | held[1] == {id(p) for p in network.parameters() if p.requires_grad}
    lower, upper = losses(network)
    expected = hypergradient(
        upper(2), lower(2), list(lora.alphas.values()), lora.weights, mode, cg_steps=3, damping=1e-2
    )
    weights = [weight.detach().clone() for weight in lora.weights]
    seen: list[list[Tensor]] = []

    def before_gates(*_) -> None:
        assert all(weight.grad is None for weight in lora.weights)
        seen.append([alpha.grad.clone() for alpha in lora.alphas.values()])  # pyright: ignore

    def after_gates(*_) -> None:
        assert all(torch.equal(weight, before) for weight, before in zip(lora.weights, weights, strict=True))

    def before_weights(*_) -> None:
        assert all(alpha.grad is None for alpha in lora.alphas.values())
        now = torch.autograd.grad(lower(2), lora.weights)
        for weight, gradient in zip(lora.weights, now, strict=True):
            torch.testing.assert_close(weight.grad, gradient)

    searching.gate_optimizer.register_step_pre_hook(before_gates)
    searching.gate_optimizer.register_step_post_hook(after_gates)
    searching.weight_optimizer.register_step_pre_hook(before_weights)
    record = searching.step()
    assert any(value.any() for value in expected)
    torch.testing.assert_close(seen[0], expected)
    assert [record[f"hypergradient/{name}"] for name in lora.gates] == [v.item() for v in seen[0]]
    assert ("multiplier" in record) == (mode == "rank_one")
    assert all(p.grad is None for p in network.parameters())
    plain = picture()
    bases = {key.replace(".base_layer", ""): value for key, value in network.state_dict().items()}
    assert all(torch.equal(value, bases[key]) for key, value in plain.state_dict().items())
    assert base_hash(network) == base_hash(plain)


def test_the_first_step_leaves_the_gates_and_moves_the_weights():
    lora, searching = searched(1)
    assert all(value == 0 for name, value in searching.log[0].items() if name.startswith("hypergradient/"))
    assert {gate().item() for gate in lora.gates.values()} == {0.5}
    assert all(weight.any() for weight in lora.weights)


def test_a_search_lowers_both_losses_and_tells_it(tmp_path):
    lora = gated(picture(), trained=False)
    lower, upper = losses(lora.network, batch_size=4)
    report = search(lora, lower, upper, steps=30, weight_rate=3e-2)
    assert [record["step"] for record in report.log] == list(range(30))
    for level in ("lower", "upper"):
        values = [record[level] for record in report.log]
        assert sum(values[-5:]) < 0.97 * sum(values[:5])
    last = report.log[-1]
    assert {last[f"gate/{name}"] for name in lora.gates} == {gate().item() for gate in lora.gates.values()}
    assert all(last[f"norm/{name}"] == norm > 0 for name, norm in lora.relative_norms().items())
    report.draw(tmp_path / "gates.png")
    assert min(Image.open(tmp_path / "gates.png").size) > 200
    log = report.select(1).record()["search_log"]
    assert [record["step"] for record in log] == list(range(30)) and len(json.dumps(log)) < 5000
    assert log[7]["gate/block1"] == pytest.approx(report.log[7]["gate/block1"], rel=1e-5)


def test_of_many_candidates_the_outermost_are_drawn(tmp_path):
    lora = gated(wan(), "dit-family")
    for number, alpha in enumerate(lora.alphas.values()):
        alpha.data.fill_(number / 10)
    record = {"step": 0, **{f"gate/{name}": gate().item() for name, gate in lora.gates.items()}}
    report = SearchReport(lora, [record], lambda step: torch.zeros(()))
    names = list(lora.gates)
    assert len(names) > 12
    assert report.outermost() == names[:6] + names[-6:] and report.outermost(99) == names
    report.draw(tmp_path / "gates.png")
    assert min(Image.open(tmp_path / "gates.png").size) > 200


def test_the_same_seed_gives_the_same_adapter_and_a_resumed_search_too(tmp_path):
    whole, searching = searched(5)
    _, again = searched(5)
    half, stopped = searched(2)
    state = copy.deepcopy(stopped.state_dict())
    stopped.step()
    fresh = gated(picture(), trained=False, seed=9)
    report = search(fresh, *losses(fresh.network), steps=5, weight_rate=1e-2, resume=state)
    assert report.log == searching.log == again.log
    assert report.select(1) == report.select(1)
    files = [
        lora.keep(report.select(1)).save(tmp_path / f"{n}.safetensors")
        for n, lora in enumerate((whole, fresh))
    ]
    # The header's entries may come in any order; what they say, and the weights behind them, may not differ.
    bytes_of = [file.read_bytes() for file in files]
    ends = [8 + int.from_bytes(content[:8], "little") for content in bytes_of]
    headers = [json.loads(content[8:end]) for content, end in zip(bytes_of, ends, strict=True)]
    assert headers[0] == headers[1]
    assert bytes_of[0][ends[0] :] == bytes_of[1][ends[1] :]
    with pytest.raises(ValueError, match="tensors that are not those of this search"):
        search(gated(picture(), rank=3), *losses(half.network), steps=5, resume=state)


def test_diffusers_transformer_takes_each_hypergradient_and_ours_names_what_it_lacks():
    """torch's fast attention has no second derivative; a step by ``cg`` does without it."""
    for kind in (WanTransformer3DModel, type(wan())):
        network = wan(kind)
        lora = gated(network, r"(blocks\.\d)\.attn1\.to_[qv]")

        def loss(step: int, network=network) -> Tensor:
            return run(network, seed=step % 3).square().mean()

        for mode in ("rank_one", "first_order"):
            search(lora, loss, loss, mode, steps=1)
        if kind is WanTransformer3DModel:
            report = search(lora, loss, lambda step: loss(step + 1), "cg", steps=2, cg_steps=2)
            assert all(report.log[-1][f"hypergradient/{name}"] for name in lora.gates)
        else:
            with pytest.raises(ValueError, match="differentiates the lower loss twice, which a layer"):
                search(lora, loss, loss, "cg", steps=1)


@given(st.integers(2, 41), st.integers(0, 5))
def test_halves_are_disjoint_whole_and_repeatable(count: int, seed: int):
    first, second = split_halves(count, seed)
    assert not set(first) & set(second)
    assert set(first) | set(second) == set(range(count))
    assert (len(first), len(second)) == (count // 2, count - count // 2)
    assert split_halves(count, seed) == (first, second)


@pytest.mark.parametrize("count", [0, 1])
def test_one_picture_has_no_halves(count: int):
    with pytest.raises(ValueError, match=f"found {count} in all"):
        split_halves(count)


@given(st.integers(2, 23), st.integers(1, 6), st.integers(0, 3))
def test_each_item_of_a_half_comes_once_a_pass(count: int, batch_size: int, seed: int):
    drawn: list[list[int]] = []

    def loss(items: list[int]) -> Tensor:
        drawn.append(items)
        return torch.zeros(())

    both = on_halves(loss, list(range(count)), batch_size, seed)
    passes = []
    for half in both:
        drawn.clear()
        for step in range(2 * half.batches):
            half(step)
        batches = [list(batch) for batch in drawn]
        first, second = ([i for b in batches[n * half.batches :][: half.batches] for i in b] for n in (0, 1))
        assert sorted(first) == sorted(second) and len(set(first)) == len(first)
        passes.append(set(first))
        drawn.clear()
        half(1)
        assert drawn[0] == batches[1]
    assert passes == [set(half) for half in split_halves(count, seed)]


@pytest.mark.parametrize("count", [0, 1])
def test_one_picture_cannot_be_split(count: int):
    with pytest.raises(ValueError, match=f"two halves of the data, found {count} in all; give 2 or more"):
        on_halves(lambda items: torch.zeros(()), list(range(count)), 1)


def test_mistakes_are_named_before_a_step():
    lora, _ = searched(0)
    network = lora.network
    lower, upper = losses(network)
    alphas = list(lora.alphas.values())
    wrong = torch.optim.SGD([*lora.weights, alphas[0]], lr=1.0)
    with pytest.raises(
        ValueError, match=r"weights must hold the 8 weights and nothing else; 0 .* and 1 other"
    ):
        search(lora, lower, upper, weight_optimizer=wrong)
    with pytest.raises(
        ValueError, match="gates must hold the 2 gates and nothing else; 1 of them are missing"
    ):
        search(lora, lower, upper, gate_optimizer=torch.optim.SGD(alphas[:1], lr=1.0))
    with pytest.raises(ValueError, match="hypergradient 'exact' does not exist"):
        search(lora, lower, upper, "exact")  # pyright: ignore[reportArgumentType]
    for halves in ((lower, lower), (lower, on_halves(lambda items: torch.zeros(()), ITEMS, 2, seed=1)[1])):
        with pytest.raises(ValueError, match=r"upper loss share [123] items; give losses of disjoint halves"):
            search(lora, *halves, steps=1)
    with pytest.raises(ValueError, match="steps is 0"):
        search(lora, lower, upper, steps=0)
    weights = [weight.detach().clone() for weight in lora.weights]
    with pytest.raises(ValueError, match="the lower loss is nan at step 0; lower the learning rates"):
        search(lora, lambda step: float("nan") * lower(step), upper)
    with pytest.raises(ValueError, match=r"a gradient is (inf|nan) at step 0"):
        search(lora, lambda step: lower(step) + kink(lora.weights[0]), upper)
    assert all(torch.equal(weight, before) for weight, before in zip(lora.weights, weights, strict=True))
    assert all(p.grad is None for p in lora.parameters())
    lora.merge()
    with pytest.raises(ValueError, match=r"merged into the base; call unmerge\(\) before a search"):
        search(lora, lower, upper)
    lora.unmerge()
    unused = gated(network, "mix", adapter_name="other")
    with pytest.raises(ValueError, match=r"does not depend on the candidate 'mix' \(mix\); leave it out"):
        search(unused, lambda step: only_a(unused), lower)


def kink(weight: Tensor) -> Tensor:
    """Zero, with a derivative that is not a number."""
    return (weight - weight.detach()).square().sum().sqrt()


def only_a(lora: GatedLora) -> Tensor:
    """Something with a graph that does not lead through the layer."""
    return lora.weights[0].sum()


def test_a_batch_norm_that_would_change_the_base_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3))
    lora = gated(network, "0|2", trained=False)
    network.train()

    def loss(step: int) -> Tensor:
        return network(torch.ones(2, 3, 8, 8)).square().mean()

    with pytest.raises(ValueError, match=r"the batch norm 1 is in training mode .* call eval\(\)"):
        search(lora, loss, loss, steps=1)
    network.eval()
    search(lora, loss, loss, steps=1)

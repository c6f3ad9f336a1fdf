"""The benchmark of placements at an equal number of parameters: budgets, statistics, and runs that go on."""

import math
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.placement.descent import descend
from benchmarks.placement.pictures import SIDE, hazed_pairs
from benchmarks.placement.quality.__main__ import main
from benchmarks.placement.quality.figures import Figures, pooled_deviation, standard_error
from benchmarks.placement.quality.objectives import objective
from benchmarks.placement.quality.report import above_random, verdicts, within_noise
from benchmarks.placement.quality.runs import LARGEST_SHARE
from benchmarks.placement.quality.studies import STUDIES, Study, study
from vision.lora import discover, inject


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_every_placement_costs_exactly_the_same(study: Study):
    network = study.build()
    found = study.found(network)
    (cost,) = {candidate.cost for candidate in found}
    everywhere = study.found_everywhere(network)
    assert {c.name for c in everywhere} == {c.name for c in found}
    assert sum(c.cost for c in everywhere) == study.k * cost
    before = [parameter.clone() for parameter in network.parameters()]
    lora = inject(network, found[: study.k])
    assert sum(weight.numel() for weight in lora.weights) == study.k * cost == lora.cost
    assert torch.equal(before[0], next(network.parameters()))


def test_an_adapter_that_is_judged_takes_three_hundredths_of_the_parameters():
    for one in STUDIES:
        network = one.build()
        budget = LARGEST_SHARE * sum(parameter.numel() for parameter in network.parameters())
        if one.layers:
            layers = discover(network, one.layers.candidates, one.layers.ranks, "peft")
            # It has to choose among them.
            assert min(c.cost for c in layers) < budget < sum(c.cost for c in layers), one.name
        else:
            assert one.k * one.found(network)[0].cost <= budget, one.name


@pytest.mark.parametrize("name", ["unet", "dea-net", "dit"])
def test_networks_clear_crops_and_a_loss_reaches_them(name: str):
    torch.manual_seed(0)
    network = study(name).build().eval()
    pairs = hazed_pairs(2, "shifted", seed=0, held_out=False)
    assert pairs.hazy.shape == (2, 3, SIDE, SIDE) and pairs.hazy.amin() >= 0 and pairs.hazy.amax() <= 1
    assert torch.equal(network(pairs.hazy), network(pairs.hazy))
    loss, said = objective("paired", generative=False)
    loss(network, pairs, [0]).backward()
    assert said == "L1 on pairs"
    assert any(p.grad is not None and p.grad.any() for p in network.parameters())


def test_the_descent_is_of_its_seed_and_falls():
    target = torch.arange(4.0)

    def run(seed: int) -> torch.Tensor:
        weight = torch.zeros(4, requires_grad=True)
        seconds = descend(
            lambda numbers: (weight[numbers] - target[numbers]).square().mean(),
            [weight],
            4,
            steps=60,
            batch=2,
            rate=0.3,
            seed=seed,
            clip=10.0,
        )
        assert seconds > 0
        return weight.detach()

    assert torch.equal(run(0), run(0)) and not torch.equal(run(0), run(1))
    assert (run(0) - target).abs().max() < 0.5


@given(st.lists(st.lists(st.floats(-9, 9), min_size=1, max_size=4), min_size=1, max_size=5), st.floats(-9, 9))
def test_the_noise_floor_is_within_placements(groups: list[list[float]], shift: float):
    noise, count = pooled_deviation(groups)
    assert count == sum(len(group) > 1 for group in groups)
    if not count:
        assert math.isnan(noise)
        return
    # What a placement is worth does not matter.
    moved = [[value + shift * n for value in group] for n, group in enumerate(groups)]
    assert pooled_deviation(moved)[0] == pytest.approx(noise, abs=1e-6)


def figures(zero_out: float, uniform: float, seconds: float = 10.0) -> Figures:
    values = {
        "base": [[15.0]],
        "random": [[16.0]],
        "uniform": [[uniform, uniform + 0.2]],
        "zero_out": [[zero_out, zero_out + 0.2]],
        "gate": [[16.0, 16.0]],
        "oracle": [[zero_out]],
        "full": [[20.0, 20.0]],
    }
    return Figures(
        values,
        {"zero_out": 20, "full": 1000},
        {"zero_out": seconds, "full": 50.0},
        1000,
        0.1,
        1,
        True,
        [{"a": 16.0}],
    )


def test_differences_are_taken_seed_by_seed():
    found = figures(zero_out=19.4, uniform=19.0)
    mean, error = found.difference("zero_out", "uniform")
    # The seeds move both rows alike, so that their difference has no error.
    assert mean == pytest.approx(0.4) and error == pytest.approx(0, abs=1e-9)
    mean, error = found.difference("zero_out", "random", 0)
    assert (mean, error) == pytest.approx((3.5, standard_error([19.4, 19.6])))
    assert found.gain_share("zero_out") == pytest.approx([0.9])
    assert within_noise(0.1, 0.06) and not within_noise(0.1, 0.04) and within_noise(1.0, math.nan)


def test_what_is_reached_is_told():
    lines = verdicts(figures(zero_out=19.4, uniform=19.0))
    assert above_random(figures(zero_out=19.4, uniform=19.0))
    assert [line.partition(":")[0] for line in lines] == ["Reached"] * 3
    assert "2.0%, 90% (90% by network), 20%" in lines[2]
    lines = verdicts(figures(zero_out=16.3, uniform=19.0, seconds=20.0))
    assert not above_random(figures(zero_out=16.3, uniform=19.0))
    assert [line.partition(":")[0] for line in lines] == ["Not reached"] * 3


def test_a_stopped_comparison_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = ["--quick", "--studies", "unet", "--losses", "paired", "--work", str(tmp_path)]
    assert main(command) == 0
    page = capsys.readouterr().out
    files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.json")}
    placements = {file.stem for file in files if file.stem.startswith("tune-")}
    assert {"tune-0-0-full", "tune-0-0-uniform"} <= placements
    # Adapters on blocks, and everywhere, train as many parameters.
    costs = re.findall(r"\| (?:uniform|bilevel, by \w+)[^|]*\| ([\d,]+) \|", page)
    *blocks, single = costs
    assert blocks == ["6,912"] * 5
    assert 0 < int(single.replace(",", "")) <= LARGEST_SHARE * 146_298
    assert "layers-0-0-4-4" in {file.stem for file in files}
    assert (tmp_path / "placement_quality.png").is_file()
    assert main([*command, "--subsets", "3"]) == 0
    assert all(file.stat().st_mtime_ns == when for file, when in files.items())
    assert len(list(tmp_path.rglob("tune-*.json"))) >= len(placements)
    with pytest.raises(SystemExit):
        main([*command, "--seeds", "0"])


@pytest.mark.slow
def test_haze_to_clear_adapts_without_a_clear_picture():
    pytest.importorskip("efficientnet_lite_pytorch")
    network = study("unet").build()
    pairs = hazed_pairs(4, "shifted", seed=0, held_out=False)
    loss, said = objective("haze-to-clear", generative=False)
    assert "EfficientNet" in said
    values = []
    for _ in range(2):
        descend(
            lambda numbers: loss(network, pairs, numbers),
            network.parameters(),
            4,
            steps=4,
            batch=4,
            rate=1e-3,
            seed=0,
        )
        values.append(loss(network, pairs, [0, 1, 2, 3]).item())
    assert values[1] < values[0] <= 2

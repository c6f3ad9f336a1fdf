"""The benchmark of planted blocks: its network, its damage, its arithmetic; and what the search must find."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.placement.__main__ import FULL, main
from benchmarks.placement.network import BLOCKS, COST, RANKS, HazeUNet
from benchmarks.placement.pictures import SIDE, draw_pairs
from benchmarks.placement.planting import DROP, plant
from benchmarks.placement.report import ACCEPTED, hits_of, verdict, wilson
from benchmarks.placement.runs import METHODS, NAMES, cases, run_case, trained_network
from vision.lora import discover


def test_every_block_costs_the_same():
    found = discover(HazeUNet(), BLOCKS, RANKS, conv_form="loralib")
    assert {c.name for c in found} == set(NAMES)
    assert {c.cost for c in found} == {COST}
    assert {c.rank for c in found} == {8, 4, 2}


def test_haze_is_drawn_by_seed_and_tests_see_other_pixels():
    first, again, held_out = draw_pairs(6, 0, False), draw_pairs(6, 0, False), draw_pairs(6, 0, True)
    assert torch.equal(first.hazy, again.hazy) and torch.equal(first.clear, again.clear)
    assert first.hazy.shape == (6, 3, SIDE, SIDE)
    for pairs in (first, held_out):
        assert pairs.hazy.min() >= 0 and pairs.hazy.max() <= 1
        assert (pairs.hazy - pairs.clear).abs().mean() > 0.05
    columns = {tuple(column) for crop in first.clear for column in crop[0].T.tolist()}
    assert not any(tuple(column) in columns for crop in held_out.clear for column in crop[0].T.tolist())


def test_damage_to_one_block_costs_what_was_asked():
    torch.manual_seed(0)
    network, pairs = HazeUNet().eval(), draw_pairs(6, 0, True)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    damaged, strengths = plant(network, ("dec1",), pairs, seed=0)
    assert pairs.psnr(network) - pairs.psnr(damaged) == pytest.approx(DROP, abs=0.05)
    assert len(strengths) == 1 and 0 < strengths[0] < 2
    changed = {name for name, value in damaged.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"dec1.conv1.weight", "dec1.conv2.weight"}
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@given(st.integers(1, 60), st.data())
def test_the_interval_holds_the_share(count: int, data):
    hits = data.draw(st.integers(0, count))
    low, high = wilson(hits, count)
    assert -1e-12 <= low <= hits / count + 1e-12 and hits / count <= high + 1e-12 <= 1 + 1e-11
    # Wilson's ends are where the share lies 1.96 standard errors of that end away.
    for end in (low, high):
        assert (hits / count - end) ** 2 == pytest.approx(1.96**2 * end * (1 - end) / count, abs=1e-9)


def test_recall_counts_planted_blocks_alone():
    result = {"method": "rank_one", "planted": ["dec1", "enc1"], "found": {"zero_out": ["dec1", "bott1"]}}
    assert hits_of([result], "rank_one", "zero_out") == (1, 2)
    assert not verdict([result])[0]
    better = {**result, "found": {"zero_out": ["enc1", "dec1"]}}
    assert verdict([result, better])[0]


@pytest.mark.parametrize("net", range(3))
def test_cases_hold_each_block_equally_often(net: int):
    every = cases(15, net)
    assert len({frozenset(pair) for pair in every}) == 15
    assert all({name for pair in every[n : n + 3] for name in pair} == set(NAMES) for n in range(0, 15, 3))
    assert cases(4, net) == every[:4]


def test_the_benchmark_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = ["--quick", "--cases", "1", "--work", str(tmp_path), "--methods", "joint"]
    assert main(command) == 0
    (folder,) = tmp_path.iterdir()
    first = {file.name: file.stat().st_mtime_ns for file in folder.iterdir() if file.stem != "placement"}
    results = [json.loads(file.read_text()) for file in folder.glob("*.json")]
    assert [result["method"] for result in results] == ["joint"]
    assert all(len(names) == 2 for result in results for names in result["found"].values())
    assert main(command) == 0
    assert {
        file.name: file.stat().st_mtime_ns for file in folder.iterdir() if file.stem != "placement"
    } == first
    page = capsys.readouterr().out
    assert "Not judged" in page and "random | 0.33 (exact)" in page
    assert main([*command, "--cases", "16"]) == 2


@pytest.mark.slow
def test_the_search_finds_planted_blocks(tmp_path: Path):
    """Six cases of one network by the search's defaults; chance is 4 of 12."""
    assert trained_network(0, FULL["pretraining"], tmp_path).enter.weight.isfinite().all()
    results = [run_case(0, blocks, next(iter(METHODS)), FULL, tmp_path) for blocks in cases(6, 0)]
    hits, count = hits_of(results, "rank_one", "zero_out")
    assert count == 12 and hits >= ACCEPTED * count

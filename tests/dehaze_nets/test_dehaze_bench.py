"""The benchmark on real haze: its table, its times, and what is missing."""

import csv
from pathlib import Path

import pytest
import torch
from tiny_dehazers import picture, tiny_dea, write_adapter

from benchmarks.dehaze.__main__ import main
from benchmarks.dehaze.report import mean_and_error, verdict
from benchmarks.dehaze.speed import Ratio, ratio_in_turn
from infer.dehaze_measures import measure
from vision import DehazePipeline
from vision.dehaze.dea_net import SEARCH_SPACE
from vision.dehaze.search_space import search_space
from vision.lora import discover


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    base, full, data = (tmp_path / name for name in ("base", "full", "data"))
    DehazePipeline(tiny_dea()).save_pretrained(base)
    other = tiny_dea()
    with torch.no_grad():
        other.up3[0].bias += 0.1  # pyright: ignore
    DehazePipeline(other).save_pretrained(full)
    data.mkdir()
    for number, size in enumerate(((24, 32), (40, 20))):
        picture(number, *size).save(data / f"{number}.png")
    adapter = write_adapter(tiny_dea(), tmp_path / "day.safetensors")
    return {"base": base, "full": full, "data": data, "adapter": adapter, "output": tmp_path / "out"}


def run(places: dict[str, Path], *others: str) -> int:
    options = [text for name, path in places.items() for text in (f"--{name}", str(path))]
    return main([*options, "--repeats", "2", *others])


def test_each_arm_is_measured_as_infer_measures(places: dict[str, Path], capsys: pytest.CaptureFixture[str]):
    assert run(places) == 0
    page = (places["output"] / "table.md").read_text(encoding="utf-8")
    assert page in capsys.readouterr().out
    with (places["output"] / "pictures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["arm"]) for row in rows] == [
        (name, arm) for arm in ("base", "base and adapter", "full fine-tuning") for name in ("0.png", "1.png")
    ]
    pipeline = DehazePipeline.from_pretrained(places["base"])
    pipeline.load_lora_weights(places["adapter"])
    from vision.media.photograph import read_photograph

    hazy = read_photograph(places["data"] / "0.png").reduced(512)
    expected = measure(hazy, pipeline(hazy, output_type="pt").images)
    for name, value in expected.items():
        assert float(rows[2][name]) == pytest.approx(value, rel=1e-3, abs=1e-5)
    cost = sum(c.cost for c in discover(tiny_dea(), "conv-block", rank=2)[:3])
    assert f"| base and adapter | {cost:,} |" in page
    # Three passes a step as in the released schedule, two without the implicit term.
    assert "| rank_one | 3 | 3 |" in page and "| first_order | 2 | 3 |" in page
    assert (places["output"] / "before_after.png").is_file()


def test_what_is_missing_is_named(places: dict[str, Path], capsys: pytest.CaptureFixture[str]):
    (places["data"] / "broken.png").write_bytes(b"no picture")
    assert run({name: path for name, path in places.items() if name != "full"}) == 1
    told = capsys.readouterr()
    assert "broken.png" in told.err and "Full fine-tuning is left out" in told.out
    assert "broken.png" in (places["output"] / "table.md").read_text(encoding="utf-8")
    assert run({**places, "full": Path("nowhere")}) == 2
    assert "--full nowhere does not exist" in capsys.readouterr().err
    for file in places["data"].glob("[01].png"):
        file.unlink()
    assert run(places) == 2
    assert "can be read" in capsys.readouterr().err


def test_the_fall_of_fog_is_judged_with_the_entropy():
    found = {"fog_before": 1.0, "fog_after": 0.6, "entropy_before": 7.0, "entropy_after": 7.1}
    assert verdict([found])[0]
    assert not verdict([found, {**found, "fog_after": 0.9}])[0]
    assert not verdict([{**found, "entropy_after": 6.9}])[0]
    mean, error, count = mean_and_error([1.0, 3.0, float("nan")])
    assert (mean, error, count) == pytest.approx((2.0, 1.0, 2))


def test_times_are_compared_in_turn():
    order: list[str] = []

    def work(name: str, size: int) -> None:
        order.append(name)
        sum(range(size))

    ratio = ratio_in_turn(lambda: work("long", 400_000), lambda: work("short", 100_000), 6)
    assert order[:4] == ["short", "long", "long", "short"] and len(order) == 14
    assert ratio.low <= ratio.median <= ratio.high and ratio.median > 1.5
    assert ratio.meets(ratio) and not ratio.meets(Ratio(1.0, 0.9, 1.1, 6))


def test_the_places_of_an_adapter_are_those_of_its_network():
    assert search_space(tiny_dea()) == SEARCH_SPACE
    assert search_space(torch.nn.Sequential()) == "conv-block"

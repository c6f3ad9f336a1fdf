"""PSNR and SSIM of cleared pictures beside their clear versions."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image
from tiny_dehazers import picture, tiny_dea

from infer.dehaze import main
from vision import DehazePipeline
from vision.dehaze.picture_files import read_pixels
from vision.metrics import psnr, ssim


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    DehazePipeline(tiny_dea()).save_pretrained(tmp_path / "model")
    for name in ("hazy", "clear"):
        (tmp_path / name).mkdir()
    for number in range(2):
        picture(number).save(tmp_path / "hazy" / f"{number}_grey_0.png")
    picture(9).save(tmp_path / "clear" / "0.png")
    picture(8, 37 + 4, 29 + 4).save(tmp_path / "clear" / "1.png")  # a border, as in SOTS
    return tmp_path


def run(folder: Path, *options: str) -> int:
    words = ["--input", str(folder / "hazy"), "--output", str(folder / "out"), "--device", "cpu"]
    return main([*words, "--model", str(folder / "model"), *options])


def test_the_table_has_the_measures_of_the_files(folders: Path, capsys: pytest.CaptureFixture[str]):
    assert run(folders) == 0  # what was cleared before is measured, not made again
    times = {path: path.stat().st_mtime_ns for path in (folders / "out").glob("*_grey_0.png")}
    assert run(folders, "--clear", str(folders / "clear")) == 0
    assert "beside the clear versions of 2 pictures" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in times} == times
    with (folders / "out" / "dehaze.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, border in zip(rows, (0, 2), strict=True):
        clear = read_pixels(folders / "clear" / f"{row['file'][0]}.png")
        clear = clear[None, :, border : border + 29, border : border + 37]
        for when, place in (("before", "hazy"), ("after", "out")):
            pixels = read_pixels(folders / place / row["file"])[None]
            assert float(row[f"psnr_{when}"]) == pytest.approx(psnr(clear, pixels, 1.0).item(), abs=1e-3)
            assert float(row[f"ssim_{when}"]) == pytest.approx(ssim(clear, pixels, 1.0).item(), abs=1e-3)


def test_another_clear_version_is_measured_anew(folders: Path):
    clear = ["--clear", str(folders / "clear")]
    assert run(folders, *clear) == 0
    picture(7).save(folders / "clear" / "0.png")
    assert run(folders, *clear) == 0
    last = [json.loads(line) for line in (folders / "out" / "dehaze.jsonl").read_text().splitlines()][-1]
    clear_pixels, hazy = (read_pixels(folders / p)[None] for p in ("clear/0.png", "hazy/0_grey_0.png"))
    expected = psnr(clear_pixels, hazy, 1.0)
    assert last["file"] == "0_grey_0.png"
    assert last["measures"]["psnr_before"] == pytest.approx(expected.item(), abs=1e-3)


def test_pictures_without_a_clear_version_are_named(folders: Path, capsys: pytest.CaptureFixture[str]):
    (folders / "clear" / "1.png").unlink()
    picture(5, 20, 20).save(folders / "clear" / "0.png")
    assert run(folders, "--clear", str(folders / "clear")) == 0
    said = capsys.readouterr().out
    assert (
        "not compared: " in said
        and "1_grey_0.png: no clear picture" in said
        and "a pair has one size" in said
    )
    Image.new("RGB", (4, 4)).save(folders / "clear" / "other.png")
    (folders / "clear" / "0.png").unlink()
    assert run(folders, "--clear", str(folders / "clear")) == 2
    assert "has no clear version of any picture" in capsys.readouterr().err

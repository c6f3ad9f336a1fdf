"""The command that clears photographs and videos."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from safetensors.torch import save_file
from tiny_dehazers import AirlightNetwork, picture, tiny_dea, tiny_transformer, write_adapter

from infer.dehaze import main
from vision import DehazePipeline
from vision.media import read_video, write_video


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    DehazePipeline(tiny_dea(), tile=24, overlap=8).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def hazy(tmp_path: Path) -> Path:
    folder = tmp_path / "hazy"
    (folder / "trip").mkdir(parents=True)
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    picture(1).save(folder / "a.JPG", "JPEG", exif=exif, quality=95)
    image = picture(2, 50, 40).convert("RGBA")
    image.putalpha(picture(3, 50, 40).convert("L"))
    image.save(folder / "trip" / "b.png")
    return folder


def run(hazy: Path, model: str, *options: str) -> int:
    output = str(hazy.parent / "clear")
    return main(["--input", str(hazy), "--output", output, "--model", model, "--device", "cpu", *options])


def test_a_folder_is_cleared_as_the_pipeline_clears(hazy: Path, model: str, capsys):
    assert run(hazy, model) == 0
    clear = hazy.parent / "clear"
    with Image.open(clear / "a.JPG") as image:
        assert image.format == "JPEG" and image.getexif()[ExifTags.Base.Make] == "Camera"
    with Image.open(hazy / "trip/b.png") as before, Image.open(clear / "trip/b.png") as after:
        np.testing.assert_array_equal(np.asarray(after)[..., 3], np.asarray(before)[..., 3])
        expected = DehazePipeline.from_pretrained(model)(before.convert("RGB")).images[0]
        found = np.asarray(after)[..., :3].astype(int)
        assert np.abs(found - np.asarray(expected)).max() <= 1
    with (clear / "dehaze.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["a.JPG", "trip/b.png"]
    assert (rows[1]["height"], rows[1]["width"], rows[1]["frames"]) == ("40", "50", "")
    grey = np.asarray(Image.open(hazy / "trip/b.png").convert("RGB"), float).mean(2) / 255
    assert float(rows[1]["contrast_before"]) == pytest.approx(grey.std(), abs=1e-4)
    assert Image.open(clear / "before_after.png").size[1] > 2 * 256
    assert "2 cleared, 0 were there already, 0 unreadable" in capsys.readouterr().out


def test_the_same_command_goes_on(hazy: Path, model: str, capsys):
    assert run(hazy, model) == 0
    clear = hazy.parent / "clear"
    ledger = clear / "dehaze.jsonl"
    made = ledger.stat().st_mtime_ns, (clear / "trip/b.png").stat().st_mtime_ns
    (clear / "a.JPG").unlink()
    ledger.write_text(ledger.read_text() + '{"file": "tr')  # killed while it wrote a record
    picture(9).save(hazy / "new.png")
    assert run(hazy, model) == 0
    assert "2 cleared, 1 were there already" in capsys.readouterr().out
    assert (clear / "trip/b.png").stat().st_mtime_ns == made[1] and (clear / "a.JPG").is_file()
    assert len([json.loads(line) for line in ledger.read_text().splitlines()]) == 4
    assert run(hazy, model, "--tile", "32") == 2
    assert "tile 24 (now 32)" in capsys.readouterr().err
    assert run(hazy, model, "--tile", "32", "--overwrite") == 0
    ledger.unlink()
    assert run(hazy, model) == 2
    assert "does not say what made it" in capsys.readouterr().err


def test_a_corrupt_picture_is_named_and_the_rest_is_done(hazy: Path, model: str, capsys):
    whole = (hazy / "a.JPG").read_bytes()
    (hazy / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (hazy / "noted.txt").write_text("a day at the sea")
    assert run(hazy, model) == 1
    said = capsys.readouterr()
    assert "cut.jpg: not a whole picture" in said.err
    assert "2 cleared, 0 were there already, 1 unreadable" in said.out and "noted.txt" in said.out
    assert not (hazy.parent / "clear/cut.jpg").exists()
    (hazy / "cut.jpg").write_bytes(whole)
    assert run(hazy, model) == 0
    assert "1 cleared, 2 were there already" in capsys.readouterr().out


def test_files_of_formats_that_are_not_written_are_named(hazy: Path, model: str, capsys):
    picture(4).save(hazy / "c.gif")
    write_video(torch.zeros(3, 2, 32, 32), hazy / "d.mp4", 8)
    (hazy / "d.mp4").rename(hazy / "d.avi")
    (hazy / "notes.pdf").write_bytes(b"%PDF-1.4")
    assert run(hazy, model) == 1
    out, err = capsys.readouterr()
    assert "c.gif is a GIF, which is not written here" in err and "d.avi is a .avi, which is not" in err
    assert "1 files are neither pictures nor videos" in out and "notes.pdf" in out
    assert "2 cleared, 0 were there already, 2 unreadable" in out


def test_the_sheet_replaces_no_picture(hazy: Path, model: str, capsys):
    picture(4).save(hazy / "before_after.png")
    assert run(hazy, model) == 2
    assert "before_after.png is called as the sheet of the results" in capsys.readouterr().err
    assert run(hazy, model, "--sheet", "0") == 0
    assert Image.open(hazy.parent / "clear" / "before_after.png").size == picture(4).size


@pytest.mark.parametrize("size", [(1, 1), (1, 40)])
def test_pictures_without_breadth_are_cleared_in_peace(tmp_path: Path, model: str, capsys, size):
    (tmp_path / "hazy").mkdir()
    picture(1).resize(size).save(tmp_path / "hazy" / "a.png")
    assert run(tmp_path / "hazy", model) == 0
    assert "warning" not in capsys.readouterr().err


def test_wrong_folders_are_errors(hazy: Path, model: str, tmp_path: Path, capsys):
    def error(input: Path, output: Path) -> str:
        assert main(["--input", str(input), "--output", str(output), "--model", model]) == 2
        return capsys.readouterr().err

    assert "is the input folder" in error(hazy, hazy.parent / "hazy" / ".." / "hazy")
    assert "is the input folder" in error(hazy / "a.JPG", hazy)
    assert "lies in the input folder" in error(hazy, hazy / "clear")
    assert "does not exist" in error(tmp_path / "absent", tmp_path / "clear")
    (tmp_path / "empty").mkdir()
    assert "holds no picture or video" in error(tmp_path / "empty", tmp_path / "clear")
    assert "is a file" in error(hazy, Path(model) / "model_index.json")


@pytest.mark.parametrize("merge", [[], ["--merge"]])
def test_an_adapter_changes_the_pictures(hazy: Path, model: str, tmp_path: Path, capsys, merge: list[str]):
    network = DehazePipeline.from_pretrained(model).network
    adapter = write_adapter(network, tmp_path / "day.safetensors", size=2)
    assert run(hazy, model, "--adapter", str(adapter), *merge) == 0
    assert "changes less than it should" not in capsys.readouterr().err
    pipeline = DehazePipeline.from_pretrained(model)
    pipeline.load_lora_weights(adapter)
    with Image.open(hazy / "trip/b.png") as before, Image.open(hazy.parent / "clear/trip/b.png") as after:
        expected = np.asarray(pipeline(before.convert("RGB")).images[0]).astype(int)
        assert np.abs(np.asarray(after)[..., :3] - expected).max() <= 1


def test_an_adapter_that_does_nothing_is_said_to(hazy: Path, model: str, tmp_path: Path, capsys):
    network = DehazePipeline.from_pretrained(model).network
    adapter = write_adapter(network, tmp_path / "weak.safetensors", size=1e-4)
    assert run(hazy, model, "--adapter", str(adapter)) == 0
    assert "weak.safetensors changes less than it should: 0.00 of 255" in capsys.readouterr().err
    videos = tmp_path / "videos" / "hazy"
    videos.mkdir(parents=True)
    write_video(torch.rand(3, 2, 32, 32, generator=torch.Generator().manual_seed(0)), videos / "a.mp4", 8)
    assert run(videos, model, "--adapter", str(adapter)) == 0
    assert "weak.safetensors changes less than it should: 0.00 of 255" in capsys.readouterr().err


def test_an_adapter_of_another_base_is_an_error(hazy: Path, model: str, tmp_path: Path, capsys):
    other = tiny_dea()
    torch.nn.init.ones_(dict(other.named_parameters())["up3.0.bias"])
    adapter = write_adapter(other, tmp_path / "day.safetensors")
    assert run(hazy, model, "--adapter", str(adapter)) == 2
    assert "made for a network with other weights" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_named(hazy: Path, model: str, capsys):
    assert run(hazy, model, "--device", "xpu:7") == 2
    assert "error: the device xpu:7 cannot be used here" in capsys.readouterr().err


def test_a_flow_gives_the_same_picture_again(hazy: Path, tmp_path: Path):
    DehazePipeline(tiny_transformer(), tile=32, overlap=8).save_pretrained(tmp_path / "flow")
    found = []
    for options in ([], ["--overwrite"], ["--seed", "1", "--overwrite"], ["--steps", "2", "--overwrite"]):
        (hazy.parent / "clear" / "dehaze.jsonl").unlink(missing_ok=True)
        assert run(hazy, str(tmp_path / "flow"), *options) == 0
        found.append((hazy.parent / "clear/trip/b.png").read_bytes())
    assert found[0] == found[1] and len(set(found)) == 3


def test_videos_are_cleared_with_a_smooth_airlight(tmp_path: Path, model: str, capsys):
    save_file(AirlightNetwork().state_dict(), tmp_path / "own.safetensors")
    levels = torch.tensor([100, 140] * 4, dtype=torch.uint8)  # a flickering haze
    pixels = levels[None, :, None, None].expand(3, -1, 32, 32).clone()
    pixels[..., 16:] //= 2
    (tmp_path / "hazy").mkdir()
    write_video(pixels, tmp_path / "hazy/clip.mp4", 10, quality=0)
    own = ("tiny_dehazers:airlight_network", "--weights", str(tmp_path / "own.safetensors"))

    def means(*options: str) -> torch.Tensor:
        assert run(tmp_path / "hazy", *own, "--overwrite", *options) == 0
        return read_video(tmp_path / "clear/clip.mp4")[0].float().mean((0, 2, 3))

    # J = (I - A / 2) / (1 / 2) with A the mean of I: the mean of J is that of I, frame by frame.
    torch.testing.assert_close(means(), pixels.float().mean((0, 2, 3)), rtol=0, atol=3)
    smooth, airlight = [], None
    for mean in pixels.float().mean((0, 2, 3)):
        airlight = mean if airlight is None else 0.9 * airlight + 0.1 * mean
        smooth.append(2 * mean - airlight)
    torch.testing.assert_close(means("--smooth-airlight", "0.9"), torch.stack(smooth), rtol=0, atol=4)
    with (tmp_path / "clear/dehaze.csv").open() as file:
        assert next(csv.DictReader(file))["frames"] == "8"
    assert main(["--input", str(tmp_path / "hazy"), "--output", str(tmp_path / "other"), "--model", model,
                 "--smooth-airlight", "0.5"]) == 2  # fmt: skip
    assert "DEANet does not; leave it out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, message",
    [
        (["--merge"], "--merge needs --adapter"),
        (["--weights", "w.safetensors"], "belong together"),
        (["--smooth-airlight", "1"], "expected 0 up to below 1"),
        (["--sheet", "-1"], "found -1, expected at least 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    hazy: Path, model: str, options: list[str], message: str, capsys
):
    with pytest.raises(SystemExit, match="2"):
        run(hazy, model, *options)
    assert message in capsys.readouterr().err

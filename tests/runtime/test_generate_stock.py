"""infer.generate and infer.compare with stock pipelines and LoRAs."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from PIL import Image
from tiny_pipeline import tiny_pipeline, tiny_transformer  # pyright: ignore[reportMissingImports]

from infer import compare
from infer.generate import main
from infer.options import Lora, parse_options
from vision import load_pipeline
from vision.distill.few_step import FewStep
from vision.lora.adapters import add_lora, save_lora
from vision.media import read_image, read_video
from vision.metrics import FeatureNetwork, FeatureStatistics

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = ["a red bag", "a boot", "a boot"]
FAMILIES = ("sd3", "longcat", "wan")
SIZES = {
    "sd3": ["--height", "32", "--width", "48"],
    "longcat": ["--height", "32", "--width", "48"],
    "wan": ["--height", "32", "--width", "48", "--num-frames", "5"],
}


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    path.write_text("\n".join(PROMPTS))
    return path


def run(model: Path, prompts: Path, out: Path, *more: str) -> int:
    return main(
        ["--model", str(model), "--prompts", str(prompts), "--out", str(out), "--device", "cpu", *more]
    )


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "pictures.jsonl").read_text().splitlines()]


def pixels(folder: Path) -> dict[str, np.ndarray]:
    found = {path.name: np.asarray(Image.open(path)) for path in folder.glob("*-*.png")}
    return found | {path.name: read_video(path)[0].numpy() for path in folder.glob("*.mp4")}


def assert_same(one: Path, other: Path, tolerance: int = 1) -> None:
    left, right = pixels(one), pixels(other)
    assert left.keys() == right.keys()
    for name, picture in left.items():
        difference = np.abs(picture.astype(int) - right[name].astype(int))
        # A codec makes of one rounded pixel a few that differ by more.
        found = difference.max() if name.endswith(".png") else difference.mean()
        assert found <= tolerance, name
    assert [line["noise_seed"] for line in records(one)] == [line["noise_seed"] for line in records(other)]


# ---------------------------------------------------------------------- stock pipelines


@pytest.mark.parametrize("family", FAMILIES)
def test_a_few_step_model_of_any_family(
    distilled: dict[str, Path], prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], family: str
):
    size = [*SIZES[family], "--images-per-prompt", "2"]
    assert run(distilled[family], prompts, tmp_path / "a", *size, "--batch-size", "4") == 0
    lines = records(tmp_path / "a")
    assert len(lines) == 6 == len({line["sha256"] for line in lines})
    for line in lines:
        assert (line["steps"], line["sigmas"], line["guidance_scale"]) == (4, [1.0, 0.75, 0.5, 0.25], 1.0)
        assert (line["height"], line["width"]) == (int(size[1]), int(size[3]))
        assert read_image(tmp_path / "a" / line["file"]).size == (line["width"], line["height"])
    if family == "wan":
        frames, rate = read_video(tmp_path / "a" / lines[0]["video"])
        assert frames.shape == (3, 5, 32, 48) and rate == lines[0]["frame_rate"] == 16
        first = np.asarray(read_image(tmp_path / "a" / lines[0]["file"])).transpose(2, 0, 1).astype(int)
        assert np.abs(frames[:, 0].numpy().astype(int) - first).mean() < 12
        digest = hashlib.sha256((tmp_path / "a" / lines[0]["video"]).read_bytes()).hexdigest()
        assert digest == lines[0]["video_sha256"]
    else:
        assert lines[0]["num_frames"] is None and "video" not in lines[0]

    # Neither the batch size nor a stop in between changes a picture.
    assert run(distilled[family], prompts, tmp_path / "b", *size, "--batch-size", "1") == 0
    assert_same(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / lines[1]["file"]).unlink()
    gone = lines[2].get("video", lines[2]["file"])
    (tmp_path / "b" / gone).write_bytes(b"cut")
    capsys.readouterr()
    assert run(distilled[family], prompts, tmp_path / "b", *size) == 0
    assert "2 pictures drawn, 4 were there already" in capsys.readouterr().out
    assert_same(tmp_path / "a", tmp_path / "b")

    # The recorded seed is all it takes.
    pipeline: Any = load_pipeline(distilled[family])
    pipeline.set_progress_bar_config(disable=True)
    line, video = lines[3], {"num_frames": 5} if family == "wan" else {}
    generator = torch.Generator().manual_seed(line["noise_seed"])
    size_of = {"height": line["height"], "width": line["width"], **video}
    drawn = pipeline(line["prompt"], generator=generator, output_type="pt", return_dict=False, **size_of)[0]
    picture = drawn[0, 0] if family == "wan" else drawn[0]
    expected = (picture.permute(1, 2, 0) * 255).round().numpy()
    assert np.abs(expected - pixels(tmp_path / "a")[line["file"]]).max() <= 1


@pytest.mark.slow
def test_two_processes_draw_the_videos_that_one_draws(
    distilled: dict[str, Path], prompts: Path, tmp_path: Path
):
    assert run(distilled["wan"], prompts, tmp_path / "one", *SIZES["wan"]) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    files = ["--model", str(distilled["wan"]), "--prompts", str(prompts), "--out", str(tmp_path / "two")]
    done = subprocess.run(
        [*launch, "-m", "infer.generate", *files, *SIZES["wan"], "--dtype", "float32"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "one", tmp_path / "two")


def test_a_base_model_draws_as_its_class_does(stock: dict[str, Path], prompts: Path, tmp_path: Path):
    few = [*SIZES["sd3"], "--steps", "2", "--negative-prompt", "a dress"]
    assert run(stock["sd3"], prompts, tmp_path / "base", *few) == 0
    line = records(tmp_path / "base")[0]
    assert (line["steps"], line["sigmas"], line["guidance_scale"]) == (2, None, 7.0)
    own = ["--num-frames", "1", "--steps", "1", "--height", "32", "--width", "32"]
    assert run(stock["wan"], prompts, tmp_path / "still", *own) == 0
    assert records(tmp_path / "still")[0]["frame_rate"] is None
    assert not list((tmp_path / "still").glob("*.mp4"))


def test_half_precision_draws(distilled: dict[str, Path], prompts: Path, tmp_path: Path):
    for family in FAMILIES:
        out = tmp_path / family
        assert run(distilled[family], prompts, out, *SIZES[family], "--dtype", "bfloat16") == 0
        assert records(out)[0]["dtype"] == "bfloat16"


def test_mistakes_of_a_command_line(
    distilled: dict[str, Path], prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    long = tmp_path / "long.txt"
    long.write_text("a boot " * 300)
    assert run(distilled["sd3"], long, tmp_path / "long", *SIZES["sd3"]) == 0
    assert "1 of 1 prompts are longer than 256 tokens and were cut" in capsys.readouterr().err
    for family, more, message in (
        ("sd3", ["--num-frames", "5"], "draws pictures; leave --num-frames out"),
        ("wan", ["--num-frames", "6"], "found 6 frames, expected 4n + 1; give --num-frames 5"),
        ("wan", ["--height", "40"], "height is 40, expected a multiple of 16"),
        ("longcat", ["--width", "18"], "width is 18, expected a multiple of 16"),
        ("wan", ["--lora", str(tmp_path / "none")], "does not exist"),
    ):
        assert run(distilled[family], prompts, tmp_path / "out", *more) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(distilled["sd3"], prompts, tmp_path / "out", "--merge-lora")
    assert "--merge-lora needs --lora DIR" in capsys.readouterr().err


# ---------------------------------------------------------------------- LoRA


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_pipeline(scheduler=FlowMatchEulerDiscreteScheduler(shift=2.0)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folders = [tmp_path_factory.mktemp("lr=0.1"), tmp_path_factory.mktemp("b")]
    for seed, folder in enumerate(folders):
        network = tiny_transformer()
        add_lora(network, rank=2, alpha=4.0)
        draws = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter.normal_(std=0.1, generator=draws)
        save_lora(folder, network)
    FewStep([1.0, 0.5]).save(folders[1])
    return folders


def test_loras_are_mixed_merged_and_recorded(
    model: Path, loras: list[Path], prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    two = ["--lora", f"{loras[0]}=0.5", "--lora", str(loras[1])]
    assert run(model, prompts, tmp_path / "mixed", *two) == 0
    shown = capsys.readouterr().err
    assert "peft_config" not in shown and "missing keys" not in shown
    assert run(model, prompts, tmp_path / "merged", *two, "--merge-lora") == 0
    assert run(model, prompts, tmp_path / "base", "--sigmas", "1,.5") == 0
    assert run(model, prompts, tmp_path / "one", "--lora", str(loras[1])) == 0
    assert_same(tmp_path / "mixed", tmp_path / "merged")
    drawn = [pixels(tmp_path / name) for name in ("mixed", "base", "one")]
    for other in drawn[1:]:
        assert all((drawn[0][name] != picture).any() for name, picture in other.items())

    line = records(tmp_path / "mixed")[0]
    digests = [
        hashlib.sha256((f / "pytorch_lora_weights.safetensors").read_bytes()).hexdigest() for f in loras
    ]
    assert line["lora"] == [str(loras[0]), str(loras[1])] and line["lora_hash"] == digests
    assert line["lora_scale"] == [0.5, 1.0] and line["lora_merged"] is False
    assert line["sigmas"] == [1.0, 0.5], "the grid travels with the LoRA"
    assert records(tmp_path / "merged")[0]["lora_merged"] is True
    assert records(tmp_path / "base")[0]["lora_merged"] is None


def test_merged_weights_draw_what_the_adapters_draw(model: Path, loras: list[Path]):
    from infer.loras import put_loras

    drawn = []
    for merge in (False, True):
        pipeline: Any = load_pipeline(model)
        put_loras(pipeline, [Lora(loras[0], 0.5), Lora(loras[1])], merge)
        assert hasattr(pipeline.transformer, "peft_config") is not merge
        generator = torch.Generator().manual_seed(0)
        pipeline.set_progress_bar_config(disable=True)
        drawn.append(pipeline("a boot", generator=generator, output_type="latent").images)
    torch.testing.assert_close(drawn[1], drawn[0], rtol=0, atol=1e-5)


def test_a_folder_of_another_lora_or_scale_is_another_job(
    model: Path, loras: list[Path], prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(model, prompts, tmp_path, "--lora", f"{loras[0]}=0.5") == 0
    assert run(model, prompts, tmp_path, "--lora", f"{loras[0]}=0.6") == 2
    assert "made with lora_scale [0.5] (now [0.6])" in capsys.readouterr().err
    assert run(model, prompts, tmp_path, "--lora", f"{loras[0]}=0.5", "--merge-lora") == 2
    assert "made with lora_merged False (now True)" in capsys.readouterr().err


def test_how_a_lora_is_written(loras: list[Path], tmp_path: Path):
    assert "=" in loras[0].name
    assert Lora.parse(str(loras[0])) == Lora(loras[0]), "a folder that exists is never split"
    assert Lora.parse(f"{loras[0]}=0.25") == Lora(loras[0], 0.25)
    assert Lora.parse(str(tmp_path / "none")) == Lora(tmp_path / "none")
    fixed = ["--model", "m", "--prompts", "p", "--out", "o"]
    assert parse_options([*fixed, "--lora", "a", "--lora", "b=2"]).lora == [
        Lora(Path("a")),
        Lora(Path("b"), 2),
    ]
    with pytest.raises(SystemExit):
        parse_options([*fixed, "--lora", "a=much"])


# ---------------------------------------------------------------------- infer.compare


def test_stock_pipelines_are_compared(
    stock: dict[str, Path], distilled: dict[str, Path], prompts: Path, tmp_path: Path
):
    torch.manual_seed(0)
    network = FeatureNetwork(in_channels=3, num_classes=3, widths=(8,), strides=(2,))
    network.save_pretrained(tmp_path / "metrics")
    statistics = FeatureStatistics(8)
    statistics.update(network(torch.randn(40, 3, 32, 32))[0].detach())
    statistics.save(tmp_path / "metrics" / "statistics.safetensors", {})
    out = tmp_path / "out"
    command = ["--prompts", str(prompts), "--metrics", str(tmp_path / "metrics"), "--out", str(out)]
    for family in FAMILIES:
        command += ["--arm", family, str(distilled[family]), "4"]
    command += ["--arm", "base", str(stock["sd3"]), "2", "--height", "32", "--width", "32"]
    assert compare.main([*command, "--samples", "9", "--batch-size", "5", "--dtype", "float32"]) == 0
    rows = {row["label"]: row for row in json.loads((out / "results.json").read_text())["rows"]}
    assert [rows[name]["evaluations"] for name in (*FAMILIES, "base")] == [4, 4, 4, 4]
    assert rows["base"]["guidance_scale"] == 7.0 and rows["sd3"]["guidance_scale"] == 1.0
    assert all(np.isfinite(row["frechet"]) for row in rows.values())

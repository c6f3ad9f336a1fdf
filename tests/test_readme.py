"""Every command and program of README.md runs, with the released models and fewer steps."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from train.data.idx import write_idx
from vision import DehazePipeline, TextToImagePipeline, TryOnPipeline, WorldPipeline
from vision.dehaze.dea_net import DEANet
from vision.dehaze.synthetic.brightness import with_brightness
from vision.dehaze.synthetic.rgbd_folder import find_rgbd, read_rgbd
from vision.dehaze.synthetic.scene import Scene
from vision.dehaze.synthetic.synthesis import write_pairs
from vision.media import write_image
from vision.tryon import studio
from vision.world.record import record

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)
    for language, block in BLOCKS
    if language == "bash"
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip()
]
LAUNCHED = [command for command in COMMANDS if command[0] == "accelerate"]
PROGRAMS = [block for language, block in BLOCKS if language == "python"]
#: What makes a training short; a later option replaces an earlier one.
SHORT = [
    "--train.steps",
    "2",
    "--train.batch_size",
    "2",
    "--train.preview_every",
    "0",
    "--train.save_every",
    "2",
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten clips from the engine: eight to train on, one on an unseen map, one of the other game."""
    folder = tmp_path_factory.mktemp("fps")
    record(folder, 10)
    return folder


def bright_scene(picture: Path, depth: Path) -> Scene:
    """As README's command makes it."""
    return with_brightness(read_rgbd(picture, depth), (0.3, 0.55), seed=0)


@pytest.fixture(scope="module")
def haze(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes with depth, pairs made of them, and hazy and clear photographs, all small."""
    folder = tmp_path_factory.mktemp("haze")
    ramp = np.linspace(1, 255, 40, dtype=np.uint8)[:, None].repeat(48, 1)
    for number in range(4):
        colours = np.random.default_rng(number).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        picture = Image.fromarray(colours).resize((48, 40), Image.Resampling.BICUBIC)
        write_image(picture, folder / "engine_depth" / "clear" / f"{number}.png")
        write_image(Image.fromarray(ramp), folder / "engine_depth" / "depth" / f"{number}.png")
    scenes = [partial(bright_scene, *files) for files in find_rgbd(folder / "engine_depth")]
    for share in (0.0, 1.0):
        write_pairs(scenes, folder / "haze", ["grey"], test_share=share)
    for kind, source in (("hazy", "haze/train/hazy"), ("clear", "haze/train/clear")):
        shutil.copytree(folder / source, folder / "photographs" / kind)
    DehazePipeline(DEANet(2)).save_pretrained(folder / "dehazer")
    return folder


@pytest.fixture(scope="module")
def studio_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten clips of the try-on studio: nine to train on, one of another person in other garments."""
    folder = tmp_path_factory.mktemp("studio")
    assert studio.main(["--out", str(folder), "--clips", "10", "--decoy", "mixed"]) == 0
    return folder


@pytest.fixture
def elsewhere(
    tmp_path: Path, clips: Path, studio_clips: Path, haze: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with the repository's configs and checkpoints in it, so that outputs/ is not the user's."""
    (tmp_path / "outputs").mkdir()
    shutil.copytree(clips, tmp_path / "outputs" / "fps")
    shutil.copytree(studio_clips, tmp_path / "outputs" / "studio")
    for name in ("haze", "engine_depth"):
        shutil.copytree(haze / name, tmp_path / "outputs" / name)
    shutil.copytree(haze / "photographs", tmp_path / "photographs")
    shutil.copytree(haze / "dehazer", tmp_path / "outputs" / "dehaze-dea-net" / "final")
    for name in ("configs", "checkpoints"):
        (tmp_path / name).symlink_to(ROOT / name)
    # In the place of what the command before would leave after its whole training.
    (tmp_path / "outputs" / "world-doom64").mkdir()
    (tmp_path / "outputs" / "world-doom64" / "final").symlink_to(ROOT / "checkpoints" / "world-causal")
    data = tmp_path / "DIR"
    data.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    write_idx(data / "train-images-idx3-ubyte.gz", pixels)
    write_idx(data / "train-labels-idx1-ubyte.gz", np.arange(20, dtype=np.uint8) % 10)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def shortened(module: str, arguments: list[str]) -> list[str]:
    """What makes a command's training short, the search of an adapter too."""
    if not module.startswith("train.") or "--dry-run" in arguments:
        return []
    return [*SHORT, *(["--search.steps", "2"] if "configs/dehaze/adapt" in arguments[0] else [])]


def run_module(words: list[str]) -> int:
    module, arguments = words[0], words[1:]
    short = shortened(module, arguments)
    return import_module(module).main([*arguments, *short])


@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in LAUNCHED], ids=" ".join)
def test_command(command: list[str], elsewhere: Path):
    if command[0] == "make":
        # What the targets do is tested by itself; here only that they exist and what they would run parses.
        subprocess.run(["make", "-n", *command[1:]], cwd=ROOT, check=True, capture_output=True)
    else:
        assert command[:2] == ["python", "-m"], command
        assert run_module(command[2:]) == 0


# Each imports everything in three fresh processes, so one stands for the others where time is short.
@pytest.mark.parametrize(
    "command",
    [LAUNCHED[0], *(pytest.param(each, marks=pytest.mark.slow) for each in LAUNCHED[1:])],
    ids=" ".join,
)
def test_launched_command(command: list[str], elsewhere: Path):
    # The file is for GPUs: here two processes stand for them.
    assert command[:3] == ["accelerate", "launch", "--config_file"], command
    port = ["--num_processes", "2", "--main_process_port", free_port()]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(ROOT)}
    launched = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        *command[2:4],
        *port,
        *command[4:],
        *shortened(command[5], command[6:]),
    ]
    subprocess.run(launched, env=environment, check=True)


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str, elsewhere: Path):
    exec(compile(program, "README.md", "exec"), {})
    assert (elsewhere / "boot.png").stat().st_size > 100


def test_the_released_models_carry_their_grid_and_card():
    student = TextToImagePipeline.from_pretrained(ROOT / "checkpoints" / "fashion-student")
    assert student.config["default_sigmas"] == [1.0, 0.75, 0.5, 0.25]
    assert student.config["default_guidance_scale"] == 1.0
    for name in sorted(path.name for path in (ROOT / "checkpoints").iterdir()):
        card = (ROOT / "checkpoints" / name / "README.md").read_text(encoding="utf-8")
        assert "## Quality" in card and "not recorded" not in card
    world = WorldPipeline.from_pretrained(ROOT / "checkpoints" / "world-student")
    assert len(world.config["default_sigmas"]) == 4 and world.transformer.causality is not None
    tryon = TryOnPipeline.from_pretrained(ROOT / "checkpoints" / "tryon-studio")
    assert tryon.config["trained_with_actions"]
    few = TryOnPipeline.from_pretrained(ROOT / "checkpoints" / "tryon-student")
    assert few.config["default_sigmas"] == [1.0, 0.75, 0.5, 0.25] and few.config["trained_with_actions"]
    networks = [student.transformer, world.transformer, tryon.transformer, few.transformer]
    weights = [tensor for network in networks for tensor in network.state_dict().values()]
    assert all(torch.isfinite(tensor).all() for tensor in weights)


def test_pictures_that_the_readme_shows_exist():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path

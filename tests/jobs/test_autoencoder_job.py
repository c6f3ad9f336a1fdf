"""train.autoencoder from clips to an autoencoder that others load."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from PIL import Image
from safetensors.torch import load_file
from tiny_runs import Workspace, files

from infer import release
from train import autoencoder
from train.data.clip_frames import clip_frames
from train.data.clip_windows import ClipWindows
from train.data.item import Item
from train.methods.autoencoding import Autoencoding
from vision.flow.draws import Draws
from vision.latents import DecodeStream, TinyVideoAutoencoder, decode, encode, load_autoencoder
from vision.latents.fidelity import Fidelity
from vision.media import write_video
from vision.metrics import psnr
from vision.world.crossfps import METADATA_NAME, VIDEO_NAME, read_clip
from vision.world.policies import random_walk
from vision.world.telemetry import TELEMETRY_NAMES, write_telemetry

SIZE, FRAMES, WINDOW = 16, 9, 5
FINAL = "diffusion_pytorch_model.safetensors"


def write_clips(folder: Path, count: int, seed: int, frames: int = FRAMES) -> Path:
    """Clips of a bright square that moves over a slope."""
    random = np.random.default_rng(seed)
    for number in range(count):
        clip = folder / f"{number:03d}"
        clip.mkdir(parents=True)
        pixels = np.zeros((3, frames, SIZE, SIZE), np.uint8)
        pixels += np.linspace(20, 100, SIZE).astype(np.uint8)
        for frame, place in enumerate((np.arange(frames) + random.integers(8)) % (SIZE - 4)):
            pixels[:, frame, 4:8, place : place + 4] = 220
        write_video(torch.from_numpy(pixels), clip / VIDEO_NAME, 20, quality=4)
        write_telemetry(clip / TELEMETRY_NAMES[0], *random_walk(number, frames), {})
        (clip / METADATA_NAME).write_text("{}")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder / "train", 6, 0)
    write_clips(folder / "test", 3, 1)
    return folder


def recipe_of(workspace: Workspace, data: Path, output: str, steps: int = 4) -> dict[str, Any]:
    return {
        "recipe": "autoencoder",
        "train": {**workspace.train(output), "steps": steps, "batch_size": 4, "preview_every": 2},
        "shape": {"latent_channels": 4, "widths": [8, 8], "num_blocks": 1},
        "data": {
            "path": str(data / "train"), "held_out": str(data / "test"), "height": SIZE, "width": SIZE,
            "frames": FRAMES,
        },
        "autoencoding": {"window": WINDOW},
        "shown": 2,
        "columns": 3,
        "cache": str(data / "cache"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(workspace: Workspace, data: Path) -> Iterator[Path]:
    yield workspace.run(autoencoder.main, recipe_of(workspace, data, "autoencoder"))


def pixels_of(clip: Path) -> torch.Tensor:
    frames = read_clip(clip, FRAMES).frames(SIZE, SIZE)
    return frames.permute(3, 0, 1, 2)[None] / 127.5 - 1


def test_it_makes_an_autoencoder_of_averaged_weights(run: Path):
    vae = load_autoencoder(run / "final")
    averaged = load_file(run / "checkpoints" / "step-00000004" / "ema" / "autoencoder.safetensors")
    found = vae.state_dict()
    assert found.keys() == averaged.keys()
    assert all(torch.equal(found[key], averaged[key]) for key in found)


@torch.no_grad()
def test_latents_of_the_training_clips_have_unit_variance(run: Path, data: Path):
    vae = load_autoencoder(run / "final").eval()
    latents = torch.cat([encode(vae, pixels_of(clip)) for clip in sorted((data / "train").iterdir())])
    std, mean = torch.std_mean(latents, (0, 2, 3, 4), correction=0)
    torch.testing.assert_close(mean, torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(std, torch.ones(4), rtol=1e-3, atol=0)


@torch.no_grad()
def test_its_fidelity_is_that_of_the_held_out_clips(run: Path, data: Path):
    vae = load_autoencoder(run / "final").eval()
    found = []
    for clip in sorted((data / "test").iterdir()):
        pixels = pixels_of(clip)
        latents = encode(vae, pixels)
        found.append(float(psnr(pixels, decode(vae, latents).clamp(-1, 1))))
        stream = DecodeStream(vae)
        streamed = torch.cat([stream(latent) for latent in latents.split(1, 2)], 2)
        torch.testing.assert_close(streamed, decode(vae, latents), rtol=1e-5, atol=1e-5)
    fidelity = Fidelity.load(run / "final")
    assert (fidelity.data, fidelity.clips) == ("test", 3)
    assert fidelity.psnr == pytest.approx(sum(found) / 3) and fidelity.lowest_psnr == pytest.approx(
        min(found)
    )


def test_previews_show_frames_above_their_reconstructions(run: Path):
    names = sorted(path.name for path in (run / "previews").iterdir())
    assert names == ["step-00000002.png", "step-00000004.png"]
    assert Image.open(run / "previews" / names[0]).height > 4 * SIZE
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    measured = {record["step"]: record["held_out/psnr"] for record in records if "held_out/psnr" in record}
    assert measured.keys() == {2, 4} and all(value > 0 for value in measured.values())
    assert {"autoencoder/kl", "autoencoder/psnr", "autoencoder/edges"} <= records[0].keys()


def test_it_learns(workspace: Workspace, data: Path):
    recipe = recipe_of(workspace, data, "longer", steps=100)
    recipe["train"] |= {"save_every": 100, "preview_every": 50, "lr": 1e-3, "ema_decay": 0.9}
    recipe["shape"]["widths"], recipe["autoencoding"]["window"] = [16, 16], FRAMES
    path = workspace.run(autoencoder.main, recipe)
    records = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    losses = [record["autoencoder/pixels"] for record in records if "autoencoder/pixels" in record]
    assert losses[-1] < 0.6 * losses[0]
    measured = [record["held_out/psnr"] for record in records if "held_out/psnr" in record]
    assert measured[1] > measured[0] + 0.5


def test_a_resumed_run_makes_the_same_model(workspace: Workspace, data: Path, run: Path):
    workspace.run(autoencoder.main, recipe_of(workspace, data, "autoencoder-halves", steps=2))
    resumed = workspace.run(
        autoencoder.main, recipe_of(workspace, data, "autoencoder-halves"), "--resume", "latest"
    )
    assert (resumed / "final" / FINAL).read_bytes() == (run / "final" / FINAL).read_bytes()
    assert files(resumed / "previews") == files(run / "previews")


def test_it_goes_on_from_weights(workspace: Workspace, data: Path, run: Path):
    recipe = recipe_of(workspace, data, "autoencoder-tuned")
    del recipe["shape"]
    recipe |= {"weights": str(run / "final")}
    recipe["train"] |= {"lr": 1e-9, "ema_decay": None, "weight_decay": 0, "mixed_precision": "no"}
    tuned = load_autoencoder(workspace.run(autoencoder.main, recipe) / "final")
    before = load_autoencoder(run / "final")
    assert all(
        torch.allclose(a, b, atol=1e-6) for a, b in zip(tuned.parameters(), before.parameters(), strict=True)
    )
    assert tuned.config["latents_std"] == pytest.approx(before.config["latents_std"], rel=1e-3)


def test_its_card_and_its_release_say_how_good_it_is(run: Path, tmp_path: Path):
    fidelity = Fidelity.load(run / "final")
    assert release.main(["--run", str(run), "--out", str(tmp_path / "out"), "--title", "eye"]) == 0
    assert load_autoencoder(tmp_path / "out").config["latent_channels"] == 4
    for folder in (run / "final", tmp_path / "out"):
        _, header, text = (folder / "README.md").read_text().split("---\n", 2)
        assert "pipeline_tag" not in yaml.safe_load(header)
        assert f"| PSNR on 3 held-out clips, mean | {fidelity.psnr:.2f} dB |" in text
        assert "a latent of 4 x 2 x 2" in text and "load_autoencoder(" in text


def test_losses_are_those_of_the_head(data: Path):
    torch.manual_seed(0)
    vae = TinyVideoAutoencoder(latent_channels=4, widths=[8, 8], num_blocks=1)
    clips = clip_frames(data / "test", frames=FRAMES, height=SIZE, width=SIZE, cache=data / "cache")
    batch = ClipWindows(clips, WINDOW, 0)[Item(1, 1)]["frames"][None]
    method = Autoencoding(vae, gradient_weight=0.5, kl_weight=0.1)
    loss = method.losses({"frames": batch}, Draws(0, 0))["autoencoder"]()
    x = batch / 127.5 - 1
    posterior = vae.encode(x).latent_dist
    noise = Draws(0, 0).normal("posterior", posterior.mean.shape)
    y = vae.decode(posterior.mean + posterior.std * noise).sample
    edges = (x - y).diff(dim=3).abs().mean() + (x - y).diff(dim=4).abs().mean()
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(posterior.mean, posterior.std), torch.distributions.Normal(0.0, 1.0)
    ).mean()
    torch.testing.assert_close(loss.value, (x - y).abs().mean() + 0.5 * edges + 0.1 * kl)
    torch.testing.assert_close(loss.parts["psnr"].double(), psnr(x, y)[0])


def test_windows_are_pieces_of_their_clip_and_depend_on_the_position_alone(data: Path):
    clips = clip_frames(data / "train", frames=FRAMES, height=SIZE, width=SIZE, cache=data / "cache")
    windows = ClipWindows(clips, WINDOW, seed=7)
    firsts = set()
    for position in range(12):
        window = windows[Item(2, position)]["frames"]
        assert torch.equal(window, ClipWindows(clips, WINDOW, seed=7)[Item(2, position)]["frames"])
        pieces = [torch.from_numpy(clips[2][k : k + WINDOW].transpose(3, 0, 1, 2).copy()) for k in range(5)]
        firsts.add(next(k for k, piece in enumerate(pieces) if torch.equal(piece, window)))
    assert len(firsts) > 1


def test_frames_are_decoded_once_and_damage_is_noticed(tmp_path: Path, data: Path):
    def read(**changes) -> list[np.ndarray]:
        options = {"frames": FRAMES, "height": SIZE, "width": SIZE, "cache": tmp_path, **changes}
        return clip_frames(data / "test", **options)

    clips = read()
    expected = [
        read_clip(clip, FRAMES).frames(SIZE, SIZE).numpy() for clip in sorted((data / "test").iterdir())
    ]
    assert all(isinstance(a, np.memmap) and (a == b).all() for a, b in zip(clips, expected, strict=True))
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    assert len(times) == 3
    read()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == times
    assert {len(clip) for clip in read(frames=5)} == {5}  # another key, other files
    cut = next(iter(times))
    cut.write_bytes(cut.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=f"{cut.name} is damaged"):
        again = read()
    assert all((a == b).all() for a, b in zip(again, expected, strict=True))


def test_bad_clips_are_left_out_by_name_or_stop_the_run(tmp_path: Path):
    write_clips(tmp_path / "clips", 3, 0)
    write_clips(tmp_path / "clips" / "short", 1, 0, frames=1)
    (tmp_path / "clips" / "001" / VIDEO_NAME).write_bytes(b"no video")
    options = {"frames": FRAMES, "height": SIZE, "width": SIZE, "cache": tmp_path / "cache", "least": WINDOW}
    with (
        pytest.warns(UserWarning, match="its video has 1 frames of the 9 asked for"),
        pytest.raises(ValueError, match=r"2 of 4 clips[^:]*:\n.*001/video.mp4.*\n.*1 frames, exp"),
    ):
        clip_frames(tmp_path / "clips", **options)
    with pytest.warns(UserWarning, match="2 of 4 clips cannot be used and are left out"):
        assert len(clip_frames(tmp_path / "clips", **options, max_bad_share=0.5)) == 2


def test_what_does_not_fit_is_told(
    workspace: Workspace, data: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    tiny: dict[str, Any] = {f"{side}coder_block_out_channels": (8, 8) for side in ("en", "de")}
    tiny |= {f"num_{side}coder_blocks": (1, 1) for side in ("en", "de")}
    AutoencoderTiny(**tiny).save_pretrained(tmp_path / "tiny")
    for changes, message in [
        ({"data": {"height": 20}}, "data.height is 20, expected a multiple of 8"),
        ({"data": {"path": str(data / "nowhere")}}, "holds no clips"),
        ({"shape": None, "weights": str(teacher / "transformer")}, "VideoTransformer is not an autoencoder"),
        ({"shape": None, "weights": str(tmp_path / "tiny")}, "AutoencoderTiny, expected a TinyVideo"),
    ]:
        recipe = recipe_of(workspace, data, "wrong")
        for key, value in changes.items():
            recipe[key] = {**recipe[key], **value} if isinstance(value, dict) else value
        assert autoencoder.main([str(workspace.write(recipe))]) == 2
        assert message in capsys.readouterr().err

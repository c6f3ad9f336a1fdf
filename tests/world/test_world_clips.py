"""Windows of clips: their latents, their rows of actions, and the order they come in."""

from pathlib import Path

import pytest
import torch
from tiny_world import tiny_autoencoder, write_clip

from train.data.item import Item
from train.data.world_clips import WorldClips, build_world
from train.recipes.world_data import WorldDataRecipe
from vision.latents import encode
from vision.latents.cache import to_unit_range
from vision.transformer.action_input import rows_needed
from vision.world.crossfps import read_clip

FRAMES, LENGTH = 5, 14


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of 14 frames, of which 13 can be used."""
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(3):
        write_clip(folder / f"clip-{seed}", seed, LENGTH)
    return folder


def recipe(path: Path, **changes) -> WorldDataRecipe:
    given = {"height": 16, "width": 16, "frames": FRAMES, "stride": 4, "clip_frames": 13, **changes}
    return WorldDataRecipe(path=str(path), **given)


def dataset(data: WorldDataRecipe, cache: Path) -> WorldClips:
    found = build_world(data, vae=tiny_autoencoder(), cache=cache, seed=0).dataset
    assert isinstance(found, WorldClips)
    return found


def test_a_window_has_its_own_latents_and_rows(clips: Path, tmp_path: Path) -> None:
    found = dataset(recipe(clips), tmp_path)
    assert len(found) == 3 * 3  # windows from the frames 0, 4 and 8 of each clip
    batch = found.batch([Item(index, 0) for index in range(9)])
    assert batch["latents"].shape == (9, 4, 2, 4, 4)
    assert rows_needed(2)[1] == FRAMES
    vae = tiny_autoencoder()
    for number in range(3):
        clip = read_clip(clips / f"clip-{number}", 13)
        frames = clip.frames(16, 16).permute(3, 0, 1, 2)
        for place, first in enumerate((0, 4, 8)):
            window, index = slice(first, first + FRAMES), 3 * number + place
            assert torch.equal(batch["sticks"][index], clip.sticks[window])
            assert torch.equal(batch["buttons"][index], clip.buttons[window])
            with torch.no_grad():
                latents = encode(vae, to_unit_range(frames[None, :, window]))[0]
            torch.testing.assert_close(batch["latents"][index], latents, rtol=0, atol=1e-5)
    # The clip's own latents are others: there the frames before a window have a part in it.
    with torch.no_grad():
        whole = encode(vae, to_unit_range(frames[None]))[0]
    assert (whole[:, 2] - batch["latents"][7][:, 1]).abs().max() > 1e-3


def test_latents_are_made_once(clips: Path, tmp_path: Path) -> None:
    first = dataset(recipe(clips), tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len(stamps) == 9
    again = dataset(recipe(clips), tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == stamps
    assert torch.equal(first[Item(4, 0)]["latents"], again[Item(4, 9)]["latents"])
    # Other windows are other latents, of the same videos.
    dataset(recipe(clips, frames=9), tmp_path)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 9 + 6


def test_batches_are_a_function_of_seed_and_step(clips: Path, tmp_path: Path) -> None:
    def batches(start: int, count: int, seed: int = 0) -> list[dict[str, torch.Tensor]]:
        found = build_world(recipe(clips), vae=tiny_autoencoder(), cache=tmp_path, seed=seed)
        loader = found.loader(start, batch_size=3)
        return [next(loader) for _ in range(count)]

    unbroken, resumed = batches(0, 6), batches(2, 4)
    for left, right in zip(unbroken[2:], resumed, strict=True):
        assert all(torch.equal(left[name], right[name]) for name in ("latents", "sticks", "buttons"))
    for epoch in (unbroken[:3], unbroken[3:]):
        seen = torch.cat([batch["sticks"].flatten(1) for batch in epoch])
        assert len(seen.unique(dim=0)) == 9
    other = batches(0, 3, seed=1)
    assert not all(torch.equal(a["sticks"], b["sticks"]) for a, b in zip(unbroken, other, strict=False))


def test_the_first_window_alone_is_the_prefix(clips: Path, tmp_path: Path) -> None:
    found = dataset(recipe(clips, frames=9, stride=None, clip_frames=None), tmp_path)
    assert len(found) == 3
    assert torch.equal(found[Item(1, 0)]["sticks"], read_clip(clips / "clip-1", 9).sticks)


def test_bad_clips_are_named(tmp_path: Path) -> None:
    write_clip(tmp_path / "clips" / "good", 0)
    write_clip(tmp_path / "clips" / "short", 1, 7)
    write_clip(tmp_path / "clips" / "torn", 2)
    video = tmp_path / "clips" / "torn" / "video.mp4"
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    data = recipe(tmp_path / "clips", frames=9)
    with pytest.raises(ValueError, match=r"(?s)2 of 3 clips cannot be used.*short: 5 frames.*torn"):
        build_world(data, vae=tiny_autoencoder(), cache=tmp_path, seed=0)
    with pytest.warns(UserWarning, match="2 of 3 clips cannot be used and are left out"):
        lenient = data.model_copy(update={"max_bad_share": 0.9})
        assert len(build_world(lenient, vae=tiny_autoencoder(), cache=tmp_path, seed=0).dataset) == 2


def test_a_picture_autoencoder_has_the_wrong_rate(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one latent frame of 1 frames, expected 4.*model\.vae"):
        build_world(recipe(clips), vae=None, cache=tmp_path, seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 12}, "frames is 12.*such as 13"),
        ({"clip_frames": 10}, "clip_frames is 10.*such as 9"),
        ({"frames": 17}, "clip_frames is 13, less than the 17"),
        ({"stride": None}, "give stride too"),
        ({"stride": 6}, "multiple of 4"),
    ],
)
def test_recipes_that_fit_no_latents(changes: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(tmp_path, **changes)

"""infer.world: one clip or many, going on, and mistakes."""

import json
from pathlib import Path

import pytest
import torch
from tiny_world import pipeline_of, tiny_world, write_clip  # pyright: ignore[reportMissingImports] - of tests/world

from infer import world
from vision.media import read_image, read_video, to_image, write_image

SIZE = 48


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a world, a causal one, two clips and a picture."""
    folder = tmp_path_factory.mktemp("worlds")
    pipeline_of(default_height=SIZE, default_width=SIZE, frame_rate=17.5).save_pretrained(folder / "model")
    causal = tiny_world()
    causal.set_causal(1, 3)
    pipeline_of(causal, default_height=SIZE, default_width=SIZE).save_pretrained(folder / "causal")
    for seed in range(2):
        write_clip(folder / "clips" / f"clip-{seed}", seed, 9, SIZE)
    write_image(to_image(torch.randint(0, 256, (3, 72, 96), dtype=torch.uint8)), folder / "first.png")
    return folder


def words(made: Path, out: Path, *more: str, model: str = "model") -> list[str]:
    frames = [str(made / "clips" / f"clip-{seed}" / "video.mp4") for seed in range(2)]
    tables = [str(made / "clips" / f"clip-{seed}" / "actions_raw.parquet") for seed in range(2)]
    given = ["--model", str(made / model), "--frames", *frames, "--actions", *tables]
    return [*given, "--out", str(out), "--device", "cpu", *more]


def one(made: Path, out: Path, *more: str) -> list[str]:
    table = made / "clips" / "clip-0" / "actions_raw.parquet"
    given = ["--model", str(made / "model"), "--frames", str(made / "first.png"), "--actions", str(table)]
    return [*given, "--out", str(out), "--device", "cpu", *more]


def test_one_clip(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    assert world.main(one(made, out, "--steps", "2")) == 0
    pixels, rate = read_video(out)
    assert pixels.shape == (3, 9, SIZE, SIZE) and rate == 17.5
    record = json.loads((tmp_path / "clip.json").read_text())
    assert record["steps"] == 2 and record["action_guidance_scale"] == 1.0 and record["seed"] == 0
    assert world.main(one(made, tmp_path / "short.mp4", "--max-frames", "5")) == 0
    assert read_video(tmp_path / "short.mp4")[0].shape[1] == 5


@pytest.mark.parametrize("model", ["model", "causal"])
def test_many_clips_and_going_on(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    command = words(made, tmp_path, model=model)
    assert world.main(command) == 0
    assert "2 clips made, 0 were there already" in capsys.readouterr().out
    videos = {path.name: path.read_bytes() for path in tmp_path.glob("*.mp4")}
    assert sorted(videos) == ["clip-0.mp4", "clip-1.mp4"] and len(set(videos.values())) == 2
    shown = {name: read_video(tmp_path / name)[0].float() for name in videos}
    assert (shown["clip-0.mp4"] - shown["clip-1.mp4"]).abs().mean() > 1
    # A clip that was lost or cut short is made again, as it was.
    (tmp_path / "clip-0.mp4").unlink()
    (tmp_path / "clip-1.mp4").write_bytes(videos["clip-1.mp4"][:100])
    assert world.main(command) == 0
    assert "2 clips made" in capsys.readouterr().out
    assert world.main(command) == 0
    assert "0 clips made, 2 were there already" in capsys.readouterr().out
    for name, frames in shown.items():
        # Sums in another order may turn a pixel's last bit, and with it the compressed bytes.
        assert (read_video(tmp_path / name)[0].float() - frames).abs().mean() < 0.5


def test_the_recorded_video_stands_beside_what_is_made(made: Path, tmp_path: Path) -> None:
    assert world.main(words(made, tmp_path, "--beside")) == 0
    recorded, shown = (
        read_video(path)[0].float()
        for path in (made / "clips" / "clip-0" / "video.mp4", tmp_path / "clip-0.mp4")
    )
    assert shown.shape == (3, 9, SIZE, 2 * SIZE)
    # Both halves begin with the same frame; compression has a small part in the difference.
    assert (shown[..., :SIZE] - recorded).abs().mean() < 10
    assert read_image(tmp_path / "clip-0.png").width > 9 * SIZE
    picture = one(made, tmp_path / "clip.mp4", "--beside")
    with pytest.raises(SystemExit):
        world.main(picture)


def test_a_clip_does_not_depend_on_the_others(made: Path, tmp_path: Path) -> None:
    assert world.main(words(made, tmp_path / "both")) == 0
    alone = words(made, tmp_path / "alone")
    for second in ("video.mp4", "actions_raw.parquet"):
        alone.remove(str(made / "clips" / "clip-1" / second))
    assert world.main(alone) == 0
    assert [path.name for path in (tmp_path / "alone").glob("*.mp4")] == ["clip-0.mp4"]
    both, single = ((tmp_path / folder / "clip-0.mp4").read_bytes() for folder in ("both", "alone"))
    assert both == single


def test_other_settings_are_refused_unless_told(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "clip.mp4"
    assert world.main(one(made, out)) == 0
    first = out.read_bytes()
    assert world.main(one(made, out, "--seed", "1", "--overlay")) == 2
    message = capsys.readouterr().err
    assert "overlay False (now True), seed 0 (now 1)" in message and out.read_bytes() == first
    assert world.main(one(made, out, "--seed", "1", "--overlay", "--overwrite")) == 0
    assert read_video(out)[0].shape[3] == 6 * SIZE and out.read_bytes() != first
    (tmp_path / "clip.json").unlink()
    assert world.main(one(made, out)) == 2
    assert "has no record (clip.json) beside it" in capsys.readouterr().err


def test_mistakes(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(command: list[str]) -> str:
        try:
            assert world.main(command) == 2
        except SystemExit as stop:
            assert stop.code == 2
        return capsys.readouterr().err

    assert "is one file for 2 clips" in fails(words(made, tmp_path / "clip.mp4"))
    many = words(made, tmp_path)
    assert "2 first frames and 3 tables" in fails([*many[:8], many[7], *many[8:]])
    assert "does not exist" in fails([*one(made, tmp_path / "a.mp4"), "--frames", "nowhere.png"])
    table = str(made / "clips" / "clip-0" / "actions_raw.parquet")
    twice = [*one(made, tmp_path / "twice"), "--actions", table, table]
    assert "several clips would be called clip-0.mp4" in fails(twice)
    assert "at least 5 frames" in fails(one(made, tmp_path / "b.mp4", "--max-frames", "4"))

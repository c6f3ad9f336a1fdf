"""The commands that make pairs: what they write, again and from what."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from infer import engine_depth
from vision.dehaze import synthesize
from vision.dehaze.haze_pairs import HazePairs
from vision.dehaze.picture_files import read_pixels
from vision.dehaze.synthetic.brightness import to_mean_brightness
from vision.dehaze.synthetic.domain import DOMAINS
from vision.dehaze.synthetic.rgbd_folder import find_rgbd, read_rgbd
from vision.dehaze.synthetic.scattering import scatter
from vision.dehaze.synthetic.scene import Scene
from vision.dehaze.synthetic.synthesis import read_truth, write_pairs
from vision.latents.tensor_file import DamagedFileError, read_tensors

HEIGHT, WIDTH = 20, 24


@pytest.fixture
def rgbd(tmp_path: Path) -> Path:
    """Three scenes: depth in 16 bits, in floats and in 8 bits."""
    draws = np.random.default_rng(0)
    folder = tmp_path / "rgbd"
    for name in ("clear", "depth"):
        (folder / name).mkdir(parents=True)
    for name in ("one", "two_b", "three"):
        picture = draws.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / "clear" / f"{name}.png")
    depth = draws.integers(1, 5000, (HEIGHT, WIDTH))
    Image.fromarray(depth.astype(np.uint16)).save(folder / "depth" / "one.png")
    np.save(folder / "depth" / "two_b.npy", depth / 1000)
    Image.fromarray((depth // 20).astype(np.uint8)).save(folder / "depth" / "three.tiff")
    return folder


def content(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found[str(path.relative_to(folder))] = path.read_bytes()
        if path.suffix == ".safetensors":  # the order of its header's fields is free
            tensors, metadata = read_tensors(path)
            values = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
            found[str(path.relative_to(folder))] = (metadata, values)
    return found


def run(rgbd: Path, out: Path, *more: str) -> int:
    return synthesize.main(["--rgbd", str(rgbd), "--out", str(out), *more])


def test_it_writes_resides_layout_with_the_truth(rgbd: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert run(rgbd, out, "--variants", "2") == 0
    pairs = HazePairs(out / "train")
    assert len(pairs) == 3 * 2 * len(DOMAINS) and not pairs.bad
    kept, given = Image.open(out / "train" / "clear" / "two-b.png"), Image.open(rgbd / "clear" / "two_b.png")
    assert kept.tobytes() == given.tobytes()
    for files, hazy, clear in pairs.each():
        through, airlight, facts = read_truth(out / "train" / "truth" / f"{files.hazy.stem}.safetensors")
        assert through.shape == (1, HEIGHT, WIDTH)
        if facts["noise"] == 0:
            made = scatter(clear, through, airlight) ** facts["gamma"]
            assert torch.allclose(made, hazy, atol=1.5 / 255)
    assert Image.open(out / "contact_sheet.png").width > 160 * (1 + len(DOMAINS))


def test_a_second_run_adds_what_is_missing_and_gives_the_same_bytes(rgbd: Path, tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    run(rgbd, first)
    whole = content(first)
    run(rgbd, second, "--domains", "grey", "night")
    gone = second / "train" / "hazy" / "one_grey_0.png"
    gone.unlink()
    run(rgbd, second)
    assert content(second) == whole
    other = tmp_path / "other"
    run(rgbd, other, "--seed", "1")
    assert content(other)["train/hazy/one_grey_0.png"] != whole["train/hazy/one_grey_0.png"]


def test_other_settings_are_not_mixed_unless_asked_for(rgbd: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    run(rgbd, out, "--domains", "grey")
    assert run(rgbd, out, "--domains", "grey", "--seed", "3") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(rgbd, out, "--domains", "grey", "--seed", "3", "--overwrite") == 0
    fresh = tmp_path / "fresh"
    run(rgbd, fresh, "--domains", "grey", "--seed", "3")
    assert content(fresh) == content(out)


def test_bad_scenes_are_named_and_the_rest_is_done(rgbd: Path, tmp_path: Path, capsys):
    (rgbd / "clear" / "one.png").write_bytes(b"damaged")
    (rgbd / "depth" / "three.tiff").unlink()
    out = tmp_path / "out"
    assert run(rgbd, out, "--domains", "grey") == 1
    told = capsys.readouterr().err
    assert "2 of 3 scenes" in told and "one.png" in told and "three.png" in told
    assert [p.hazy.name for p in HazePairs(out / "train").pairs] == ["two-b_grey_0.png"]
    (rgbd / "depth" / "two_b.npy").unlink()
    assert run(rgbd, tmp_path / "none", "--domains", "grey") == 2
    assert "no scene can be read" in capsys.readouterr().err


def test_depth_of_another_size_or_kind_is_named(rgbd: Path):
    files = dict(zip(("one", "three", "two"), find_rgbd(rgbd), strict=True))
    np.save(rgbd / "depth" / "two_b.npy", np.ones((4, 5)))
    with pytest.raises(ValueError, match="one size"):
        read_rgbd(*files["two"])
    Image.new("RGB", (WIDTH, HEIGHT)).save(rgbd / "depth" / "one.png")
    with pytest.raises(ValueError, match="one channel"):
        read_rgbd(*files["one"])
    np.save(rgbd / "depth" / "two_b.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"two_b\.npy: no array of numbers as numpy\.save writes it"):
        read_rgbd(*files["two"])
    with pytest.raises(ValueError, match="no folder 'clear'"):
        find_rgbd(rgbd / "clear")


def test_photographs_without_depth_have_an_invented_one(rgbd: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    words = ["--photographs", str(rgbd / "clear"), "--domains", "grey", "thin", "--variants", "2"]
    assert synthesize.main([*words, "--out", str(out)]) == 0
    pairs = HazePairs(out / "train")
    assert len(pairs) == 3 * 2 * 2 and not (out / "train" / "clear" / "motorcycle.png").exists()
    reached = {}
    for files, hazy, clear in pairs.each():
        through, airlight, _ = read_truth(out / "train" / "truth" / f"{files.hazy.stem}.safetensors")
        assert torch.allclose(scatter(clear, through, airlight), hazy, atol=1.5 / 255)
        # Far at the top, near at the bottom.
        assert through[:, : HEIGHT // 4].mean() < through[:, -HEIGHT // 4 :].mean()
        reached.setdefault(files.hazy.stem.split("_")[1], []).append(through.mean())
    assert min(reached["thin"]) > max(reached["grey"])
    again = content(out)
    assert synthesize.main([*words, "--out", str(out)]) == 0 and content(out) == again
    assert synthesize.main(["--photographs", str(out), "--out", str(out)]) == 2
    assert "is a source as well" in capsys.readouterr().err


def test_scenes_are_brought_to_the_brightness_that_is_asked_for(rgbd: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    assert run(rgbd, out, "--domains", "grey", "--brightness", "0.3", "0.4") == 0
    given = {files[0].stem.replace("_", "-"): read_pixels(files[0]) for files in find_rgbd(rgbd)}
    means = set()
    for path in sorted((out / "train" / "clear").iterdir()):
        clear = read_pixels(path)
        means.add(float(clear.mean()))
        assert 0.29 < clear.mean() < 0.41
        # A power: order, black and white stay, and one exponent explains every pixel.
        dark, light = given[path.stem].flatten().sort().values[[200, 1200]]
        at = [clear.flatten()[given[path.stem].flatten() == value][0] for value in (dark, light)]
        exponents = [float(new.log() / old.log()) for new, old in zip(at, (dark, light), strict=True)]
        assert exponents[0] == pytest.approx(exponents[1], rel=0.1)
    assert len(means) == 3  # each scene draws its own
    assert run(rgbd, out, "--domains", "grey") == 2  # other settings
    capsys.readouterr()
    assert run(rgbd, tmp_path / "x", "--brightness", "0.5", "0.3") == 2
    assert "--brightness is 0.5 0.3" in capsys.readouterr().err


@pytest.mark.parametrize("mean", [0.05, 0.5, 0.95])
def test_a_picture_reaches_its_brightness_or_the_nearest_there_is(mean: float):
    clear = torch.rand(3, 30, 30, generator=torch.Generator().manual_seed(0))
    clear[:, 0, 0], clear[:, 0, 1] = 0, 1
    found = to_mean_brightness(clear, mean)
    bright, dark = (clear**0.2).mean(), (clear**5).mean()
    assert found.mean() == pytest.approx(min(max(mean, float(dark)), float(bright)), abs=1e-3)
    assert (found[:, 0, 0] == 0).all() and (found[:, 0, 1] == 1).all()


def test_a_scene_goes_to_one_split_and_names_differ(tmp_path: Path):
    def scene(name: str):
        draws = torch.Generator().manual_seed(0)
        clear, depth = torch.rand(3, 4, 5, generator=draws), torch.ones(1, 4, 5)
        return lambda: Scene(name, clear, depth)

    scenes = [scene(f"s{number}") for number in range(40)]
    write_pairs(scenes, tmp_path, ["grey", "shifted"], test_share=0.25, seed=4)
    names = {split: {p.name for p in (tmp_path / split / "clear").iterdir()} for split in ("train", "test")}
    assert not names["train"] & names["test"] and len(names["train"] | names["test"]) == 40
    assert 3 <= len(names["test"]) <= 20
    with pytest.raises(ValueError, match="two scenes would be called a-b"):
        write_pairs([scene("a_b"), scene("a-b")], tmp_path / "x", ["grey"])


def test_damaged_truth_is_named_and_an_output_that_is_a_source_refused(rgbd: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    run(rgbd, out, "--domains", "grey")
    truth = out / "train" / "truth" / "one_grey_0.safetensors"
    truth.write_bytes(truth.read_bytes()[:-4])
    with pytest.raises(DamagedFileError):
        read_truth(truth)
    assert run(rgbd, out, "--domains", "grey") == 2 and "one_grey_0" in capsys.readouterr().err
    assert run(rgbd, rgbd) == 2 and "is a source as well" in capsys.readouterr().err


def test_engine_frames_become_pairs(tmp_path: Path, capsys):
    size = ["--size", "48x64"]
    assert engine_depth.main(["--out", str(tmp_path / "a"), "--frames", "1", *size]) == 0
    assert engine_depth.main(["--out", str(tmp_path / "a"), "--frames", "3", *size]) == 0
    assert engine_depth.main(["--out", str(tmp_path / "b"), "--frames", "3", *size]) == 0
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert json.loads((tmp_path / "a" / "engine.json").read_text())["size"] == [48, 64]
    depth = np.array(Image.open(tmp_path / "a" / "depth" / "freedoom2-00000.png"))
    assert depth.shape == (48, 64) and len(np.unique(depth // 256)) >= 10
    assert engine_depth.main(["--out", str(tmp_path / "a"), "--frames", "3"]) == 2
    assert "other" in capsys.readouterr().err
    assert run(tmp_path / "a", tmp_path / "out", "--domains", "grey") == 0
    assert len(HazePairs(tmp_path / "out" / "train")) == 3

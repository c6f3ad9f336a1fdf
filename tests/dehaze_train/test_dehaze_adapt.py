"""train.dehaze finds places for an adapter, trains it there, and leaves files that others load."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_haze import clear_picture, main, own_network, recipe_of, run, save_base, write_pairs

from infer.dehaze import main as infer_dehaze
from infer.release import main as release
from train.data.haze_pictures import HazePictures
from train.data.item import Item
from train.jobs.adapter_search import AdapterSearch
from train.jobs.half_of_crops import HalfOfCrops
from vision import DehazePipeline
from vision.latents.tensor_file import read_tensors
from vision.lora import BilevelSearch, load_gated, split_halves
from vision.lora.adapters import LORA_FILE, lora_metadata
from vision.media import read_video, to_image, write_image, write_video


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("haze")
    write_pairs(folder / "train", 5)
    write_pairs(folder / "test", 2, first=10)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_base(tmp_path_factory.mktemp("bases") / "dea", "dea_net")


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory, data: Path, base: str) -> Path:
    return run(recipe_of("adapt", tmp_path_factory.mktemp("runs") / "adapt", data, base))


def test_its_files_load_and_do_the_same(adapted: Path, base: str):
    hazy = 0.4 * clear_picture(20)[None] + 0.5
    plain = DehazePipeline.from_pretrained(base)(hazy, output_type="pt").images
    results = []
    for file in ("adapter.safetensors", LORA_FILE):
        pipeline = DehazePipeline.from_pretrained(base)
        pipeline.load_lora_weights(adapted / "final" / file)
        results.append(pipeline(hazy, output_type="pt").images)
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-5)
    assert (results[0] - plain).abs().mean() > 1e-3


def test_its_header_says_what_was_chosen_and_why(adapted: Path):
    record = json.loads(lora_metadata(adapted / "final" / "adapter.safetensors")["gated_lora_record"])
    selection = record["selection"]
    assert len(selection["names"]) == 2 and len(selection["scores"]) == 8
    assert record["loss"] == "pairs" and selection["score"] == "zero_out"
    assert len(record["search_log"]) == 3
    assert "base_model_hash" in lora_metadata(adapted / "final" / LORA_FILE)


def test_it_shows_and_measures_before_and_after(adapted: Path):
    told = json.loads((adapted / "final" / "measures.json").read_text())
    assert told["count"] == 2
    assert [record["pictures"] for record in told["records"]] == ["hazy", "base", "adapted"]
    assert told["records"][2]["psnr"] > told["records"][1]["psnr"]
    for name in ("before_after.png", "gates.png", "README.md"):
        assert (adapted / "final" / name).stat().st_size > 500
    assert "PSNR, dB" in (adapted / "final" / "README.md").read_text()
    previews = sorted(path.name for path in (adapted / "previews").glob("step-*"))
    assert previews == ["step-00000004.png"]


def test_infer_takes_the_adapter_as_the_run_says(adapted: Path, base: str, data: Path, tmp_path: Path):
    adapter = str(adapted / "final" / "adapter.safetensors")
    words = ["--input", str(data / "test" / "hazy"), "--output", str(tmp_path / "clear")]
    assert infer_dehaze([*words, "--model", base, "--adapter", adapter, "--device", "cpu"]) == 0


def test_it_is_released_as_it_was_measured(
    adapted: Path, base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["--run", str(adapted), "--out", str(tmp_path / "day"), "--data-source", "drawn here"]
    assert release(words) == 0
    for name in ("adapter.safetensors", LORA_FILE, "measures.json"):
        assert (tmp_path / "day" / name).read_bytes() == (adapted / "final" / name).read_bytes()
    card = (tmp_path / "day" / "README.md").read_text()
    assert "adapted (2 held-out pictures)" in card and "drawn here" in card
    pipeline = DehazePipeline.from_pretrained(base)
    pipeline.load_lora_weights(tmp_path / "day")
    assert release([*words, "--overwrite", "--dtype", "bfloat16"]) == 2
    assert "not cast" in capsys.readouterr().err


class Stopped(Exception):
    pass


@pytest.mark.parametrize("phase", ["search", "training"])
def test_a_stopped_run_goes_on_to_the_same_bits(
    phase: str, adapted: Path, data: Path, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "adapt"
    recipe = recipe_of("adapt", output, data, base)
    if phase == "search":
        # Killed after the last state was written, and so a step is made again.
        step, made = AdapterSearch._steps, []

        def killed(self: AdapterSearch, searching: Any) -> None:
            plain = searching.step

            def counted() -> dict[str, float]:
                if len(made) == 3 - 1:
                    raise Stopped
                made.append(1)
                return plain()

            searching.step = counted
            step(self, searching)

        with monkeypatch.context() as patched:
            patched.setattr(AdapterSearch, "_steps", killed)
            with pytest.raises(Stopped):
                main(recipe)
        assert (output / "search" / "state.safetensors").is_file()
        assert not (output / "search" / "selected.safetensors").exists()
    else:
        run(recipe_of("adapt", output, data, base, steps=2))
    assert main(recipe) == 2  # a run that has begun asks for --resume
    run(recipe, "--resume", "latest")
    ours, whole = (load_file(folder / "final" / "adapter.safetensors") for folder in (output, adapted))
    assert ours.keys() == whole.keys()
    assert all(torch.equal(ours[key], whole[key]) for key in whole)


def test_a_signal_stops_the_search_which_saves(
    data: Path, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    recipe = recipe_of("adapt", tmp_path / "adapt", data, base)
    recipe["train"]["save_every"] = 100
    plain = BilevelSearch.step

    def step(self: BilevelSearch) -> dict[str, float]:
        record = plain(self)
        if len(self.log) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return record

    monkeypatch.setattr(BilevelSearch, "step", step)
    with pytest.raises(SystemExit) as stopped:
        main(recipe)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert "stopped by SIGTERM after step 2 of the search" in capsys.readouterr().err
    _, metadata = read_tensors(tmp_path / "adapt" / "search" / "state.safetensors")
    assert len(json.loads(metadata["log"])) == 2
    recipe["search"]["rank"] = 3
    assert main(recipe, "--resume", "latest") == 2
    assert "search.rank was 2 and is 3" in capsys.readouterr().err
    # What is asked after the search may be changed until then.
    recipe["search"] |= {"rank": 2, "k": 1}
    monkeypatch.undo()
    run(recipe, "--resume", "latest")
    record = json.loads(lora_metadata(tmp_path / "adapt/final/adapter.safetensors")["gated_lora_record"])
    assert len(record["selection"]["names"]) == 1
    recipe["search"]["k"] = 2
    assert main(recipe, "--resume", "latest") == 2
    assert "search.k was 1 and is 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"k": 99}, "k is 99; expected 1 to 8"),
        ({"k": None, "budget": 10}, "no candidate fits into the budget of 10 parameters"),
        ({"candidates": "("}, "'(' is no regular expression"),
    ],
)
def test_what_no_search_can_answer_is_said_before_it(
    data: Path, base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: dict, message: str
):
    recipe = recipe_of("adapt", tmp_path / "adapt", data, base)
    recipe["search"] |= asked
    assert main(recipe) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "adapt" / "search" / "state.safetensors").exists()


def test_hazy_videos_are_pictures_too(tmp_path: Path):
    pixels = torch.rand(3, 7, 32, 48, generator=torch.Generator().manual_seed(0))
    write_video(2 * pixels - 1, tmp_path / "b.mp4", 8)
    write_image(to_image(2 * clear_picture(1) - 1), tmp_path / "a.png")
    (tmp_path / "c.mp4").write_bytes((tmp_path / "b.mp4").read_bytes()[:-300])
    with pytest.raises(ValueError, match="1 of"):
        HazePictures(tmp_path, False, 0.0, video_every=3)
    (tmp_path / "c.mp4").unlink()
    pictures = HazePictures(tmp_path, False, 0.0, video_every=3)
    frames, _ = read_video(tmp_path / "b.mp4")
    assert len(pictures) == 1 + 3
    for number, frame in ((1, 0), (2, 3), (3, 6)):
        assert torch.equal(pictures[number]["hazy"], frames[:, frame])
    kept = [pictures[number]["hazy"] for number in range(4)]
    pictures._kept.clear()  # as where there is no room
    assert all(torch.equal(pictures[number]["hazy"], kept[number]) for number in range(4))


def test_a_users_own_network_is_adapted_and_its_statistics_stay(data: Path, tmp_path: Path):
    weights = tmp_path / "mine.safetensors"
    save_file(own_network().state_dict(), weights)
    recipe = recipe_of("adapt", tmp_path / "own", data, steps=2)
    recipe["model"] = {"base": "tiny_haze:own_network", "weights": str(weights)}
    recipe["search"] = {"rank": 2, "steps": 2, "k": 1, "gate": "one"}
    adapter = run(recipe) / "final" / "adapter.safetensors"
    # It loads on the untouched base only, whose hash takes in the batch norms.
    lora = load_gated(own_network(), adapter)
    assert len(lora.candidates) == 1 and lora.candidates[0].name in ("1", "2")
    assert not lora.alphas and all(gate() == 1 for gate in lora.gates.values())


def test_halves_share_no_picture_and_each_comes_once_a_pass():
    seen: list[list[int]] = []

    class Crops:
        def __getitem__(self, item: Item) -> dict[str, torch.Tensor]:
            return {"hazy": torch.tensor(item.index)}

    def loss(batch: dict[str, torch.Tensor], step: int) -> torch.Tensor:
        seen.append(batch["hazy"].tolist())
        return torch.zeros(())

    crops: Any = Crops()
    lower, upper = split_halves(8, 3)
    half = HalfOfCrops(loss, crops, lower, 2, 0)
    assert half.batches == 2
    for step in (0, 1, 0):
        half(step)
    assert sorted(seen[0] + seen[1]) == sorted(lower) and seen[2] == seen[0]
    assert not {*lower} & {*upper}

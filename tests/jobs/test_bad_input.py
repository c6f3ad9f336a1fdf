"""Bad input to the entry points: a message that says what to change, status 2, and nothing lost.

Where each kind of bad input is tested beyond the entry points, which are tested here:

    misspelt key                       recipes/test_recipe_file.py, recipes/test_training_cli.py
    wrong type, wrong range            recipes/test_recipe_file.py, recipes/test_recipe_classes.py,
                                       recipes/test_training_cli.py
    recipe for another model           here; recipes/test_recipe_file.py (of another entry point),
                                       families/test_family_bad_input.py (of another family, scheduler, size)
    folder that is not a model         here; pipeline/test_pipeline_files.py, infer/test_generate.py,
                                       jobs/test_release.py (infer.compare)
    truncated or edited safetensors    here; pipeline/test_pipeline_files.py, lora/test_adapters.py,
                                       transformer/test_transformer_diffusers.py, train/test_checkpoints.py,
                                       latents/test_tensor_file.py, text/test_encode.py (caches)
    checkpoint of another              here; train/test_checkpoints.py
    architecture
    unreadable or empty prompt file    here; text/test_prompt_file.py, infer/test_generate.py,
                                       families/test_family_prompts.py (for another encoder)
    prompts over the encoder's length  here; text/test_encode.py, infer/test_generate.py
    full disk while saving             here (the model, the cache); train/test_checkpoints.py (checkpoint,
                                       log), infer/test_generate.py, jobs/test_release.py,
                                       jobs/test_sessions.py
    second run in the same folder      here; train/test_checkpoints.py, infer/test_pictures.py,
                                       jobs/test_release.py
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tiny_runs import Workspace, files

from infer import compare
from train import base, cdm, features
from vision.transformer import VideoTransformer

WEIGHTS = "diffusion_pytorch_model.safetensors"
Refused = Callable[..., str]


@pytest.fixture
def refused(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs an entry point that must refuse; returns the message, and checks that it is only that."""

    def run(main: Callable, recipe: dict[str, Any], *words: str) -> str:
        path = workspace.write(recipe)
        capsys.readouterr()
        try:
            status = main([str(path), *words])
        except SystemExit as stopped:  # the command line or the recipe
            status = stopped.code
        shown = capsys.readouterr()
        assert status == 2 and shown.out == ""
        message = shown.err[shown.err.index("error: ") + len("error: ") :]
        assert "Traceback" not in shown.err
        output = Path(recipe["train"]["output"])
        assert not (output / "final").exists() or "--resume" in words
        return message

    return run


def of_kind(workspace: Workspace, teacher: Path, kind: str) -> tuple[Callable, dict[str, Any]]:
    return {
        "base": (base.main, workspace.base("refused")),
        "cdm": (cdm.main, workspace.cdm("refused", teacher)),
        "features": (features.main, workspace.features("refused")),
    }[kind]


@pytest.mark.parametrize("kind", ["base", "cdm", "features"])
def test_misspelt_key_and_wrong_type(workspace: Workspace, teacher: Path, refused: Refused, kind: str):
    main, recipe = of_kind(workspace, teacher, kind)
    recipe["train"] |= {"sedd": 1, "lr": "fast"}
    message = refused(main, recipe)
    assert (
        "train.sedd is not a key of this recipe; did you mean train.seed?" in message and ", line " in message
    )
    assert "train.lr: found the text 'fast', expected number in (0, 1]" in message
    assert not (workspace.folder / "refused").exists()


def test_a_recipe_of_another_entry_point(workspace: Workspace, teacher: Path, refused: Refused):
    message = refused(base.main, workspace.cdm("refused", teacher))
    assert (
        "is a recipe of train.cdm (recipe: cdm), not of train.base; run it with: python -m train.cdm"
        in message
    )
    assert "not of train.cdm; run it with: python -m train.base" in refused(
        cdm.main, workspace.base("refused")
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"text_dim": 16}, ["embeddings of width 16 (text_dim)", "BertModel have 384", "text encoder"]),
        ({"out_channels": 2}, ["takes 1 channels and gives 2"]),
        ({"patch_size": [1, 3, 3]}, ["data.height is 8, expected a multiple of 3", "change data.height"]),
        ({"in_channels": 2, "out_channels": 2}, ["in_channels is 2", "expected 1 (grey) or 3 (colour)"]),
        ({"rope_max_seq_len": 1}, ["rope_max_seq_len"]),
    ],
)
def test_an_architecture_that_does_not_fit_its_data(
    workspace: Workspace, refused: Refused, change: dict[str, Any], expected: list[str]
):
    recipe = workspace.base("refused")
    recipe["model"]["architecture"] |= change
    message = refused(base.main, recipe)
    assert all(part in message for part in expected), message
    assert not list((workspace.folder / "refused" / "checkpoints").iterdir())


def test_data_that_are_not_there(workspace: Workspace, refused: Refused):
    recipe = workspace.base("refused")
    recipe["data"]["path"] = str(workspace.folder / "nowhere.gz")
    assert "nowhere.gz cannot be read: No such file" in refused(base.main, recipe)
    recipe = workspace.features("refused")
    recipe["data"]["labels_path"] = recipe["data"]["path"]
    assert "expected integers of shape (N,), so pass the file of the labels" in refused(features.main, recipe)


def test_an_encoder_that_is_not_there(workspace: Workspace, refused: Refused):
    recipe = workspace.base("refused")
    recipe["text"]["encoder"] = "package:no_such_encoder"
    assert "run: pip install no-such-encoder" in refused(base.main, recipe)
    recipe["text"] = {"max_prompt_tokens": 4000}
    assert "prompts of 4000 tokens do not fit BertModel" in refused(base.main, recipe)


@pytest.mark.parametrize("place", ["empty", "file", "nowhere", "features", "transformer", "lora"])
def test_a_folder_that_is_not_a_pipeline(
    workspace: Workspace,
    metrics: Path,
    teacher: Path,
    lora_run: Path,
    tmp_path: Path,
    refused: Refused,
    place: str,
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    places = {"features": metrics, "transformer": teacher / "transformer", "lora": lora_run / "final"}
    folder = places.get(place, tmp_path / place)
    for words in ((), ("--dry-run",)):
        message = refused(cdm.main, workspace.cdm("refused", folder), *words)
        assert str(folder) in message
        said = {
            "file": "is a file, expected the folder",
            "nowhere": "does not exist; give a pipeline's folder",
        }
        assert said.get(place, "is not a pipeline's folder: it has no model_index.json (found") in message


@pytest.mark.parametrize("place", ["empty", "pipeline", "features", "nowhere"])
def test_a_folder_that_is_not_a_transformer(
    workspace: Workspace, metrics: Path, teacher: Path, tmp_path: Path, refused: Refused, place: str
):
    (tmp_path / "empty").mkdir()
    folder = {"pipeline": teacher, "features": metrics}.get(place, tmp_path / place)
    recipe = workspace.base("refused")
    recipe["model"] = {"weights": str(folder)}
    message = refused(base.main, recipe)
    expected = {
        "features": "are not those of the VideoTransformer that its config.json describes (it says Feature",
        "pipeline": f"is a whole pipeline; give the part of it, such as {teacher / 'transformer'}",
        "empty": f"expected {WEIGHTS}",
        "nowhere": "does not exist",
    }
    assert str(folder) in message and expected[place] in message


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def without_a_tensor(path: Path) -> None:
    tensors = load_file(path)
    del tensors["proj_out.bias"]
    save_file(tensors, path, {"format": "pt"})


def with_another_name(path: Path) -> None:
    tensors = load_file(path)
    tensors["proj_out.bais"] = tensors.pop("proj_out.bias")
    save_file(tensors, path, {"format": "pt"})


def of_another_width(path: Path) -> None:
    tensors = load_file(path)
    tensors["proj_out.bias"] = torch.zeros(3)
    save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (cut_short, "is not a whole safetensors file"),
        (without_a_tensor, "1 missing: proj_out.bias"),
        (with_another_name, "1 unexpected: proj_out.bais"),
        (of_another_width, "1 of another shape: proj_out.bias (found (3,), expected (16,))"),
    ],
)
def test_damaged_weights(
    workspace: Workspace,
    teacher: Path,
    tmp_path: Path,
    refused: Refused,
    damage: Callable[[Path], None],
    expected: str,
):
    copy = tmp_path / "copy"
    shutil.copytree(teacher, copy)
    damage(copy / "transformer" / WEIGHTS)
    before = files(copy)
    assert expected in refused(cdm.main, workspace.cdm("refused", copy))
    recipe = workspace.base("refused")
    recipe["model"] = {"weights": str(copy / "transformer")}
    assert expected in refused(base.main, recipe)
    assert files(copy) == before


def test_a_teacher_that_does_not_fit_its_text_encoder(
    workspace: Workspace, teacher: Path, tmp_path: Path, refused: Refused
):
    copy = tmp_path / "copy"
    shutil.copytree(teacher, copy)
    network = VideoTransformer.from_pretrained(teacher / "transformer")
    other = VideoTransformer(**{**network.config, "text_dim": 16})
    other.save_pretrained(copy / "transformer")
    assert "embeddings of width 16 (text_dim), but those of this BertModel have 384" in refused(
        cdm.main, workspace.cdm("refused", copy)
    )
    for change, expected in (
        ({"text_encoder_source": None}, "has neither a text encoder nor a text_encoder_source"),
        ({"default_height": None}, "has no default_height and default_width"),
        ({"_class_name": "FluxPipeline"}, "holds a FluxPipeline, expected TextToImagePipeline"),
    ):
        shutil.rmtree(copy)
        shutil.copytree(teacher, copy)
        index = json.loads((copy / "model_index.json").read_text())
        (copy / "model_index.json").write_text(json.dumps({**index, **change}))
        assert expected in refused(cdm.main, workspace.cdm("refused", copy))


@pytest.fixture
def copied_run(workspace: Workspace, teacher_run: Path, tmp_path: Path) -> dict[str, Any]:
    """The recipe of a copy of the teacher's run, which has two more steps to go."""
    shutil.copytree(teacher_run, tmp_path / "run")
    recipe = workspace.base("teacher")
    recipe["train"] |= {"output": str(tmp_path / "run"), "steps": 6}
    return recipe


def test_a_damaged_checkpoint(copied_run: dict[str, Any], refused: Refused, workspace: Workspace):
    run = Path(copied_run["train"]["output"])
    newest = run / "checkpoints" / "step-00000004"
    cut_short(newest / "networks" / "model.safetensors")
    before = files(run)
    message = refused(base.main, copied_run, "--resume", str(newest))
    assert "model.safetensors has" in message and "bytes, expected" in message
    assert files(run) == {**before, ".lock": (run / ".lock").read_bytes()}
    workspace.run(base.main, copied_run, "--resume", "latest")  # goes on from the one before
    assert (run / "checkpoints" / "step-00000006").is_dir()


def test_a_checkpoint_of_another_architecture(
    copied_run: dict[str, Any], refused: Refused, workspace: Workspace, teacher: Path, tmp_path: Path
):
    run = Path(copied_run["train"]["output"])
    before = files(run)
    copied_run["model"]["architecture"]["num_layers"] = 3
    message = refused(base.main, copied_run, "--resume", "latest")
    assert "model.architecture.num_layers was 2 and is 3. Take these back, or start another run" in message

    # The same recipe names other weights than before.
    recipe = workspace.base("moved")
    shutil.copytree(teacher / "transformer", tmp_path / "weights")
    recipe["model"] = {"weights": str(tmp_path / "weights")}
    recipe["train"] |= {"output": str(tmp_path / "moved"), "preview_every": 0}
    workspace.run(base.main, recipe)
    saved = files(tmp_path / "moved" / "checkpoints")
    network = VideoTransformer.from_pretrained(teacher / "transformer")
    shutil.rmtree(tmp_path / "weights")
    VideoTransformer(**{**network.config, "ffn_dim": 40}).save_pretrained(tmp_path / "weights")
    recipe["train"]["steps"] = 6
    message = refused(base.main, recipe, "--resume", "latest")
    assert "is a checkpoint of another architecture" in message and "ffn.net.0.proj" in message
    assert files(tmp_path / "moved" / "checkpoints") == saved
    assert {name: content for name, content in files(run).items() if name != ".lock"} == {
        name: content for name, content in before.items() if name != ".lock"
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read: No such file or directory; check its path"),
        (b"\n  \n", "holds no prompt in 2 lines; write one a line"),
        (b"", "holds no prompt in 0 lines"),
        (b"a left half\n\xff\xfe\n", "line 2 of the prompt file"),
    ],
)
def test_a_prompt_file_without_prompts(
    workspace: Workspace,
    teacher: Path,
    tmp_path: Path,
    refused: Refused,
    content: bytes | None,
    expected: str,
):
    recipe = workspace.cdm("refused", teacher)
    recipe["prompts"] = str(tmp_path / "prompts.txt")
    if content is not None:
        (tmp_path / "prompts.txt").write_bytes(content)
    assert expected in refused(cdm.main, recipe)


def test_prompts_over_the_length_are_cut_with_a_warning(
    workspace: Workspace, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = workspace.cdm("long", teacher)
    recipe["train"] |= {"steps": 1, "preview_every": 0}
    (tmp_path / "prompts.txt").write_text("a left half\n" + "a half of a half of a half of a half\n")
    recipe["prompts"] = str(tmp_path / "prompts.txt")
    for _ in range(2):  # the second time the embedding comes from the cache
        workspace.run(cdm.main, recipe)
        lines = [line for line in capsys.readouterr().err.splitlines() if "were cut" in line]
        assert lines == [
            "warning: 1 of 2 prompts are longer than 8 tokens and were cut: "
            "'a half of a half of a half of a half' lost 5 of 13"
        ]
        shutil.rmtree(recipe["train"]["output"])


def full_disk(tensors: dict, path: Path, *_: object, **__: object) -> None:
    Path(path).write_bytes(b"half of a model")
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def test_a_full_disk_while_the_model_is_written(
    copied_run: dict[str, Any],
    refused: Refused,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
):
    """The older model stays, the checkpoints stay, and the same command writes the new one."""
    run = Path(copied_run["train"]["output"])
    copied_run["train"]["steps"] = 4
    before = files(run / "final") | files(run / "checkpoints")
    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", full_disk)
        message = refused(base.main, copied_run, "--resume", "latest")
    assert "the run is finished, but" in message and "No space left on device" in message
    assert "make room and write it with --resume latest" in message
    assert files(run / "final") | files(run / "checkpoints") == before
    assert not [path.name for path in run.iterdir() if path.name.startswith(".final")]
    workspace.run(base.main, copied_run, "--resume", "latest")
    name = f"transformer/{WEIGHTS}"
    assert (run / "final" / name).read_bytes() == before[name]


def test_a_full_disk_while_prompts_are_encoded(
    workspace: Workspace, teacher: Path, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
):
    recipe = workspace.cdm("cacheless", teacher)
    recipe["cache"] = str(tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr("vision.latents.tensor_file.save_file", full_disk)
        assert "cannot be written: Error while serializing" in refused(cdm.main, recipe)
    assert files(tmp_path) == {}
    workspace.run(cdm.main, recipe)


def test_a_second_run_in_the_same_folder(
    workspace: Workspace, teacher_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(teacher_run, tmp_path / "run")
    recipe = workspace.base("teacher")
    recipe["train"]["output"] = str(tmp_path / "run")
    before = files(tmp_path / "run")
    path = workspace.write(recipe)
    assert base.main([str(path)]) == 2
    shown = capsys.readouterr().err
    assert "already holds a run (step-00000004); go on with it by --resume latest, or choose" in shown
    after = files(tmp_path / "run")
    assert {**after, ".lock": b""} == {**before, ".lock": b""}


def test_a_second_comparison_in_the_same_folder(
    workspace: Workspace, teacher: Path, metrics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    command = ["--prompts", str(workspace.prompts), "--metrics", str(metrics), "--out", str(tmp_path)]
    command += ["--arm", "teacher", str(teacher), "1", "--samples", "129", "--batch-size", "129"]
    assert compare.main(command) == 0
    before = files(tmp_path)
    assert compare.main([*command, "--seed", "1"]) == 2
    assert "already holds results; choose another --out" in capsys.readouterr().err
    assert files(tmp_path) == before
    assert compare.main([*command, "--seed", "1", "--overwrite"]) == 0
    assert files(tmp_path)["results.json"] != before["results.json"]

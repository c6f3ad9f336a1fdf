"""Checkpoints and run folders: whole or not at all, one run at a time, clear words about what is wrong."""

import errno
import json
import os
import resource
import shutil

import pytest
import torch
from forked import Forked, run_forked
from safetensors.torch import load_file, save_file
from tiny_training import Chase, make_method, make_networks, train, weights
from torch import nn

from train import checkpoint as checkpoint_module
from train.checkpoint import rotate
from train.manifest import BrokenCheckpointError, verify
from train.run_folder import RunFolder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder and weights of a run with the checkpoints 4, 8 and 12."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, weights(train(folder, keep_last=9))


@pytest.fixture
def run(tmp_path, finished):
    """A copy of the finished run."""
    return shutil.copytree(finished[0], tmp_path / "run")


def names(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def checkpoint(run, step):
    return run / "checkpoints" / f"step-{step:08d}"


def same(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


def test_a_checkpoint_holds_no_pickle_and_describes_itself(run):
    folder = checkpoint(run, 12)
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".safetensors", ".json", ".yaml"}
    manifest = verify(folder)
    assert manifest["step"] == 12 and manifest["versions"]["torch"] == torch.__version__
    moments = load_file(folder / "optimizers" / "student.safetensors")
    assert moments["exp_avg/first.weight"].shape == (6, 6) and moments["step/first.weight"] == 6
    assert (folder / "recipe.yaml").read_text() == (run / "recipe.yaml").read_text()


def test_rotation_keeps_the_newest(tmp_path):
    train(tmp_path, save_every=2, keep_last=3)
    assert names(tmp_path) == ["step-00000008", "step-00000010", "step-00000012"]
    rotate(tmp_path / "checkpoints", 1)
    assert names(tmp_path) == ["step-00000012"]


def truncate(path):
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - 8)


def edit(path):
    tensors = load_file(path)
    next(iter(tensors.values())).view(-1)[0] += 1
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: truncate(folder / "networks" / "student.safetensors"), "bytes, expected"),
        (lambda folder: edit(folder / "ema" / "student.safetensors"), "was changed after"),
        (lambda folder: (folder / "optimizers" / "fake.safetensors").unlink(), "is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "has no manifest"),
        (lambda folder: truncate(folder / "manifest.json"), "is not a manifest"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "is not a manifest"),
        (lambda folder: (folder / "more.safetensors").touch(), "is not part of"),
    ],
)
def test_latest_passes_over_what_is_not_whole_and_says_why(run, finished, capfd, damage, reason):
    damage(checkpoint(run, 12))
    with pytest.raises(BrokenCheckpointError, match=reason):
        train(run, resume=str(checkpoint(run, 12)))
    found = weights(train(run, resume="latest"))
    shown = capfd.readouterr().err
    assert "passed over step-00000012" in shown and reason in shown and "step-00000008, step 8" in shown
    verify(checkpoint(run, 12))  # the resumed run put a whole one in its place
    assert same(found, finished[1])


def test_latest_does_not_start_afresh_over_broken_checkpoints(run):
    for step in (4, 8, 12):
        (checkpoint(run, step) / "manifest.json").unlink()
    with pytest.raises(BrokenCheckpointError, match="none of the 3 checkpoints"):
        train(run, resume="latest")
    assert len(names(run)) == 3


def test_latest_in_an_empty_folder_starts_from_the_beginning(tmp_path, capfd):
    train(tmp_path, resume="latest")
    assert "starting from the beginning" in capfd.readouterr().err
    assert "step-00000012" in names(tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "latst"])
def test_a_checkpoint_that_does_not_exist(run, name):
    with pytest.raises(BrokenCheckpointError, match="expected `latest` or a checkpoint"):
        train(run, resume=str(run / name))


def test_going_back_sets_newer_checkpoints_aside(run, capfd):
    train(run, resume=str(checkpoint(run, 4)), keep_last=9)
    assert names(run) == ["step-00000004", "step-00000008", "step-00000012", "superseded"]
    assert sorted(path.name for path in (run / "checkpoints" / "superseded").iterdir()) == [
        "step-00000008",
        "step-00000012",
    ]
    assert "was moved to" in capfd.readouterr().err


def test_a_run_can_begin_with_the_checkpoint_of_another(run, tmp_path, finished):
    assert same(weights(train(tmp_path / "new", resume=str(checkpoint(run, 8)))), finished[1])
    with pytest.raises(ValueError, match="cannot take over"):
        train(tmp_path / "new", resume=str(checkpoint(run, 8)))


def test_a_run_can_be_lengthened(run):
    result = train(
        run, resume="latest", steps=16, log_every=2, preview_every=3, save_every=5, loader_workers=1
    )
    assert result.networks["fake"].update_count == 16
    assert "step-00000016" in names(run)


def test_another_recipe_is_refused_with_its_keys(run):
    with pytest.raises(ValueError) as refused:
        train(run, resume="latest", lr=0.5, seed=1, steps=20)
    message = str(refused.value)
    assert "train.lr was 0.01 and is 0.5" in message and "train.seed was 42 and is 1" in message
    assert "steps" not in message


def test_as_many_samples_may_be_cut_otherwise(run):
    train(run, resume="latest", steps=14, batch_size=2, accumulation=2, keep_last=9)
    with pytest.raises(ValueError, match=r"train.batch_size was 4 and is 8"):
        train(run, resume=str(checkpoint(run, 4)), batch_size=8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda student: setattr(student, "last", nn.Linear(6, 4)), r"last.weight.* \[.*3, 6\].* \[.*4, 6\]"),
        (lambda student: student.first.requires_grad_(False), r"first.weight.*and absent here"),
        (lambda student: setattr(student, "more", nn.Linear(1, 1)), r"more.weight.*is absent there"),
    ],
)
def test_a_checkpoint_of_another_architecture(run, change, message):
    student, fake, teacher = make_networks()
    change(student)
    with pytest.raises(ValueError, match="another architecture: (?s:.*)" + message):
        train(run, resume="latest", method=Chase(student, fake, teacher))


def test_a_checkpoint_of_other_networks(run):
    method = make_method()
    method.networks["critic"], method.every["critic"] = nn.Linear(1, 1), 1
    with pytest.raises(ValueError, match=r"networks \['fake', 'student'\].*critic"):
        train(run, resume="latest", method=method)


def test_a_finished_run_is_not_overwritten(run):
    with pytest.raises(ValueError, match=r"already holds a run.*--resume latest.*--train.output"):
        train(run)


def test_a_second_run_in_the_folder_is_refused(tmp_path):
    with RunFolder(tmp_path), pytest.raises(ValueError, match=f"another run is using .*{os.getpid()}"):
        train(tmp_path)
    train(tmp_path)


def enter(folder):
    with RunFolder(folder):
        pass


def test_a_second_process_in_the_folder_is_refused(tmp_path):
    with RunFolder(tmp_path):
        (outcome,) = Forked(enter, tmp_path).outcomes()
    assert outcome.exit_code == 1 and "another run is using" in outcome.error
    run_forked(enter, tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"choose another train.output"):
        train(tmp_path / "file" / "run")


def go_on_with_small_files(run, limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    train(run, resume="latest", steps=16, log_every=100)


def test_a_full_disk_while_saving_loses_nothing(run):
    """The system itself refuses a file that grows too long, as it does on a full disk."""
    before = {path: path.read_bytes() for path in (run / "checkpoints").rglob("*") if path.is_file()}
    (outcome,) = Forked(go_on_with_small_files, run, 2500).outcomes()
    assert outcome.exit_code == 1
    assert "checkpoint of step 16 could not be saved" in outcome.error and "make room" in outcome.error
    assert names(run) == ["step-00000004", "step-00000008", "step-00000012"]
    assert {path: path.read_bytes() for path in before} == before
    train(run, resume="latest", steps=16)
    assert "step-00000016" in names(run)


def test_a_full_disk_at_each_file_of_a_checkpoint(run, monkeypatch):
    """Whichever write fails, older checkpoints stay whole and nothing is left behind."""
    really_sync, failed = os.fsync, 0
    for file in range(1, 100):
        left = file

        def sync(descriptor):
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            really_sync(descriptor)

        shutil.rmtree(run.with_name("copy"), ignore_errors=True)
        shutil.copytree(run, run.with_name("copy"))
        monkeypatch.setattr(os, "fsync", sync)
        try:
            train(run.with_name("copy"), resume="latest", steps=13, keep_last=9)
        except ValueError as error:
            assert "No space left on device" in str(error)
            failed += 1
        finally:
            monkeypatch.setattr(os, "fsync", really_sync)
        remaining = names(run.with_name("copy"))
        assert remaining[:3] == names(run) and not any(name.startswith(".") for name in remaining)
        for name in remaining:
            verify(run.with_name("copy") / "checkpoints" / name)
        if left > 0:
            break
    assert failed > 10


def test_a_full_disk_while_logging_says_what_to_do(run, monkeypatch):
    from train.run_log import RunLog

    def append(log, record):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RunLog, "append", append)
    with pytest.raises(ValueError, match=r"could not write.*--resume latest"):
        train(run, resume="latest", steps=16)


def test_what_a_killed_run_left_is_removed(run):
    for name in (".saving-step-00000016", ".deleting-step-00000004"):
        (run / "checkpoints" / name / "networks").mkdir(parents=True)
    train(run, resume="latest", steps=16, keep_last=9)
    assert names(run) == [f"step-{step:08d}" for step in (4, 8, 12, 16)]


def full_disk_on_one_rank(output):
    if int(os.environ["RANK"]) == 1:

        def refuse(folder, state):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        checkpoint_module._write_random_states = refuse
    train(output)


def test_processes_fail_together_when_one_cannot_save(tmp_path):
    outcomes = Forked(full_disk_on_one_rank, tmp_path, world_size=2).outcomes()
    assert all("No space left on device" in outcome.error for outcome in outcomes)
    assert names(tmp_path) == []


def test_random_states_of_a_process_are_restored_as_json_and_safetensors(run):
    numbers = json.loads((checkpoint(run, 12) / "random" / "rank-0.json").read_text())
    assert numbers["numpy"][0] == "MT19937" and numbers["python"][0] == 3

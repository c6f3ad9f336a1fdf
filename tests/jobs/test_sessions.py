"""sessions.jsonl says who worked on a run, also when the loop left early."""

import json
import signal
import subprocess
from pathlib import Path

import pytest
from tiny_runs import Workspace, files

import vision
from train import base
from train.methods.flow_matching import FlowMatching
from train.sessions import append_record
from vision.provenance import code_version


def sessions(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "sessions.jsonl").read_text().splitlines()]


def test_a_run_in_one_go_has_one_record(student_run: Path):
    (record,) = sessions(student_run)
    assert (record["from_step"], record["to_step"], record["ended"]) == (0, 4, "finished")
    assert 0 < record["seconds"] < 100
    assert record["code"] == code_version() and record["threads"] == 1 and record["processes"] == 1
    assert record["device"] and record["torch"].startswith("2.") and record["diffusers"]


def test_each_stay_in_the_loop_is_a_record(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    recipe = workspace.base("sessions")
    recipe["train"] |= {"preview_every": 0, "accumulation": 2, "batch_size": 4}
    really_compute, calls = FlowMatching.losses, []

    def interrupted(method, batch, draws):
        calls.append(draws.step)
        if draws.step == 2:
            signal.raise_signal(signal.SIGTERM)
        return really_compute(method, batch, draws)

    monkeypatch.setattr(FlowMatching, "losses", interrupted)
    with pytest.raises(SystemExit) as stopped:
        base.main([str(workspace.write(recipe))])
    assert stopped.value.code == 128 + signal.SIGTERM
    run = Path(recipe["train"]["output"])
    monkeypatch.setattr(FlowMatching, "losses", really_compute)
    workspace.run(base.main, recipe, "--resume", "latest")
    workspace.run(base.main, recipe, "--resume", "latest")  # only exports, so it is no session
    found = [(record["from_step"], record["to_step"], record["ended"]) for record in sessions(run)]
    assert found == [(0, 3, "interrupted"), (3, 4, "finished")]
    assert "3 iterations" not in (run / "final" / "README.md").read_text()


def test_a_failed_run_is_a_record(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    recipe = workspace.base("failed")
    recipe["train"] |= {"preview_every": 0}

    def refuse(method, batch, draws):
        raise ValueError("the sky is falling; hold it up")

    monkeypatch.setattr(FlowMatching, "losses", refuse)
    assert base.main([str(workspace.write(recipe))]) == 2
    assert "error: the sky is falling; hold it up\n" in capsys.readouterr().err
    (record,) = sessions(Path(recipe["train"]["output"]))
    assert (record["from_step"], record["to_step"], record["ended"]) == (0, 1, "failed")


def test_a_full_disk_tears_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "sessions.jsonl"
    append_record(path, {"from_step": 0})
    before = files(tmp_path)

    def full(self: Path, text: str, **_: str) -> int:
        with open(self, "w") as file:
            file.write(text[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            append_record(path, {"from_step": 4})
    assert files(tmp_path) == before
    append_record(path, {"from_step": 4})
    assert [record["from_step"] for record in sessions(tmp_path)] == [0, 4]


def test_the_code_version_names_the_commit_and_edits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "checkout" / "vision" / "__init__.py"
    package.parent.mkdir(parents=True)
    package.write_text("first")
    monkeypatch.setattr(vision, "__file__", str(package))

    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", *identity, "-C", str(package.parents[1]), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert code_version() == vision.__version__
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    commit = git("rev-parse", "--short=12", "HEAD")
    assert code_version() == f"{vision.__version__} ({commit})"
    package.write_text("second")
    assert code_version() == f"{vision.__version__} ({commit}-dirty)"
    # Installed into an environment that lies in someone else's checkout.
    inner = package.parents[1] / "environment" / "vision" / "__init__.py"
    inner.parent.mkdir(parents=True)
    inner.touch()
    monkeypatch.setattr(vision, "__file__", str(inner))
    assert code_version() == vision.__version__

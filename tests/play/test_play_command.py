"""The command line of infer.play: what it refuses at once, and how it ends."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playable_world import SIZE, options_for, playable_world, player
from tiny_world import picture, pipeline_of, tiny_world  # pyright: ignore[reportMissingImports]

from infer.play import main
from infer.playing.server import listen, make_server
from vision import WorldPipeline
from vision.world.crossfps import read_clip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    playable_world().save_pretrained(folder)
    (folder / "examples").mkdir()
    picture(0, (SIZE, SIZE)).save(folder / "examples" / "hall.png")
    return folder


def silent_world() -> WorldPipeline:
    transformer = tiny_world(conditioning={})
    transformer.set_causal(1)
    return pipeline_of(transformer)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (pipeline_of, "all see each other, so it cannot be played part by part; train a causal one"),
        (silent_world, "takes no actions: it has no conditioning module"),
    ],
)
def test_a_model_that_cannot_be_played_is_refused_at_the_start(
    make, expected, tmp_path: Path, capsys
) -> None:
    make().save_pretrained(tmp_path)
    assert main(["--model", str(tmp_path), "--port", "0", "--device", "cpu"]) == 2
    assert expected in capsys.readouterr().err


def test_folders_that_hold_no_world_are_refused(saved: Path, tmp_path: Path, capsys) -> None:
    index = (saved / "model_index.json").read_text()
    (tmp_path / "model_index.json").write_text(index.replace('"WorldPipeline"', '"WanPipeline"'))
    for model, expected in (
        (tmp_path / "none", "does not exist; give a pipeline's folder"),
        (tmp_path, "holds a WanPipeline, expected WorldPipeline"),
        (saved / "transformer", "not a pipeline's folder: it has no model_index.json"),
    ):
        assert main(["--model", str(model), "--port", "0"]) == 2
        assert expected in capsys.readouterr().err


def test_first_frames_that_are_not_there_are_refused(saved: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn.png").write_bytes(b"no")
    for path, expected in (
        ("none.png", "does not exist; give pictures"),
        ("empty", "holds no first frames; expected files that end with .png"),
        ("torn.png", "not a whole picture"),
    ):
        arguments = [
            "--model",
            str(saved),
            "--frames",
            str(tmp_path / path),
            "--port",
            "0",
            "--device",
            "cpu",
        ]
        assert main(arguments) == 2
        assert expected in capsys.readouterr().err


def test_a_port_that_is_taken_is_refused(saved: Path, capsys) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        assert main(["--model", str(saved), "--port", port, "--device", "cpu"]) == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in capsys.readouterr().err


def test_whom_it_lets_in_and_what_it_remembers_is_said(tmp_path: Path, capsys) -> None:
    make_server(playable_world(window=None), options_for(tmp_path, host="0.0.0.0"))
    warned = capsys.readouterr().err
    assert "anybody who reaches this machine on 0.0.0.0 can play" in warned
    assert "memory and the cost of a frame grow" in warned
    make_server(playable_world(), options_for(tmp_path))
    assert capsys.readouterr().err == ""


def test_ctrl_c_ends_it_and_keeps_the_recording(saved: Path, tmp_path: Path, capsys) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def play() -> list[str]:
        try:
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            with player(f"127.0.0.1:{port}") as (client, welcome):
                client.begin()
                client.see()
                client.say("record", on=True)
                client.hear("recording")
                for _ in range(3):
                    client.see()
                return [frame["name"] for frame in welcome["first_frames"]]
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "recordings"
    with ThreadPoolExecutor() as threads:
        playing = threads.submit(play)
        arguments = ["--model", str(saved), "--out", str(out), "--port", str(port), "--device", "cpu"]
        assert main(arguments) == 0
        assert playing.result() == ["hall"]  # the model's own
    said = capsys.readouterr()
    assert f"http://127.0.0.1:{port}/" in said.out
    assert said.out.endswith("ended\n")
    (clip,) = out.iterdir()
    assert len(read_clip(clip, 9).frames(SIZE, SIZE)) == 9

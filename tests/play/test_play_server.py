"""The server with real connections: a player, a second one, and clients that do what they should not."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playable_world import (
    NEUTRAL,
    RATE,
    SIZE,
    Client,
    check_it_lives,
    connected,
    neutral_frames,
    options_for,
    player,
    request,
)
from tiny_world import picture  # pyright: ignore[reportMissingImports]
from websockets.exceptions import ConnectionClosed

from infer.playing.connection import MAX_MISTAKES
from infer.playing.server import served_in_thread
from infer.world import main as infer_world
from vision import WorldPipeline
from vision.world.check import check_clip
from vision.world.crossfps import read_clip
from vision.world.play_session import PlaySession

# -------------------------------------------------------------------- playing


def test_a_player_who_does_nothing_sees_the_world_of_the_seed(server: str) -> None:
    with player(server) as (client, welcome):
        assert (welcome["frame_rate"], welcome["chunk_frames"], welcome["steps"]) == (RATE, 4, 2)
        assert [frame["name"] for frame in welcome["first_frames"]] == ["frame0", "frame1"]
        for key, seed in ((0, 3), (1, 4)):
            began = client.begin(f"file-{key}", seed=seed)
            seen = [client.see() for _ in range(4)]
            assert [head["chunk"] for head, _ in seen] == [0, 1, 2, 3]
            assert {head["play"] for head, _ in seen} == {began["play"]}
            expected = neutral_frames(seed, 4, key)
            assert all(np.array_equal(a, b) for (_, a), b in zip(seen, expected, strict=True))


def test_what_is_held_changes_what_is_seen_and_its_stamp_comes_back_once(server: str) -> None:
    with player(server) as (client, _):
        client.begin(seed=1)
        seen = [client.see() for _ in range(2)]
        client.hold(1234.5, sticks=[0, -1, 1, 0], buttons=[1, 0, 0, 0, 0, 0])
        seen += [client.see() for _ in range(6)]
    stamps = [stamp for head, _ in seen for stamp in head["stamps"]]
    assert [stamp for stamp in stamps if stamp is not None] == [1234.5]
    answered = stamps.index(1234.5)
    still = np.concatenate(neutral_frames(1, 8))
    shown = np.concatenate([frames for _, frames in seen])
    chunk = 1 + (answered - 1) // 4 * 4  # all frames of a chunk are made together
    assert np.array_equal(shown[:chunk], still[:chunk])
    assert all((shown[frame] != still[frame]).any() for frame in range(answered, len(shown)))


def test_a_page_that_shows_nothing_is_one_chunk_ahead(server: str) -> None:
    with player(server) as (client, _):
        client.begin()
        for _ in range(2):
            assert isinstance(client.socket.recv(timeout=30), bytes)
        with pytest.raises(TimeoutError):
            client.socket.recv(timeout=8 / RATE)


def test_a_recording_is_a_clip_that_all_else_reads(
    server: str, world: WorldPipeline, folder: Path, tmp_path: Path
) -> None:
    with player(server) as (client, _):
        client.begin(seed=2)
        for _ in range(3):
            client.see()
        client.say("record", on=True)
        client.hear("recording")
        client.hold(1, sticks=[0.5, -1, 1, 0], buttons=[0, 0, 1, 0, 0, 0])
        for _ in range(5):
            client.see()
        client.say("record", on=False)
        recorded = client.hear("recorded")
        client.see()  # and the world goes on
        seen = np.stack(client.frames)
    clip = read_clip(folder / "recordings" / recorded["name"], recorded["frames"])
    count = recorded["frames"]
    assert count % 4 == 1
    assert len(clip.sticks) == count > 12
    check_clip(clip.folder, count)
    assert (clip.metadata["seed"], clip.metadata["first_frame"]) == (2, "frame0")
    # Its frames are those that were seen, but for what the codec loses ...
    frames = clip.frames(SIZE, SIZE).numpy().astype(int)
    errors = [np.abs(seen[at : at + count] - frames).mean() for at in range(len(seen) - count + 1)]
    at = int(np.argmin(errors))
    assert 3 * errors[at] < sorted(errors)[1]
    # ... and its rows are those that led to them: row t to frame t + 1.
    rows = torch.cat([clip.sticks, clip.buttons], 1).numpy()
    assert rows[-1].tolist() == [0.5, -1, 1, 0, 0, 0, 1, 0, 0, 0]
    rows = np.concatenate([np.zeros((at, 10), np.float32), rows])
    session = PlaySession(world)
    session.reset(picture(0, (SIZE, SIZE)), seed=2)
    again, used = [], 0
    while session.frames_made < at + count:
        wanted = session.rows_wanted
        again += list(session.advance(rows[used : used + wanted]))
        used += wanted
    assert np.array_equal(np.stack(again), seen[: at + count])
    for kind, file in (
        ("video", "video.mp4"),
        ("actions", "actions_raw.parquet"),
        ("metadata", "metadata.json"),
    ):
        status, content = request(server, "GET", f"/recordings/{recorded['name']}/{kind}")
        assert (status, content) == (200, (clip.folder / file).read_bytes())
    world.save_pretrained(tmp_path / "world")
    made = tmp_path / "again.mp4"
    arguments = [
        "--model",
        str(tmp_path / "world"),
        "--frames",
        str(clip.folder / "video.mp4"),
        "--device",
        "cpu",
    ]
    actions = str(clip.folder / "actions_raw.parquet")
    assert infer_world([*arguments, "--actions", actions, "--out", str(made)]) == 0
    assert made.is_file()


def test_recordings_end_with_the_world_and_with_the_player(server: str, folder: Path) -> None:
    def names() -> set[str]:
        return {path.name for path in (folder / "recordings").glob("*")}

    before = names()
    with player(server) as (client, _):
        client.say("record", on=True)
        assert "nothing to record yet" in client.hear("error")["message"]
        client.begin()
        client.see()
        client.say("record", on=True)
        client.hear("recording")
        client.say("record", on=True)
        assert "running already" in client.hear("error")["message"]
        for _ in range(3):
            client.see()
        client.say("reset", frame="file-1")
        first = client.hear("recorded")["name"]
        client.hear("began")
        client.see()
        client.say("record", on=True)
        client.hear("recording")
        for _ in range(3):
            client.see()
    with player(server) as (client, welcome):  # whose turn comes when the recording is saved
        assert names() - before == {name["name"] for name in welcome["recordings"]} - before
        assert len(names() - before) == 2
        assert first in names()
        client.say("record", on=False)
        assert "Nothing was recorded" in client.hear("unrecorded")["message"]
    for name in names() - before:
        assert read_clip(folder / "recordings" / name, 5).frames(SIZE, SIZE).shape[0] == 5


def test_a_recording_that_grows_too_long_is_saved(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infer.playing.recording._MOST_BYTES", 3 * 4 * 3 * SIZE**2)
    with player(server) as (client, _):
        client.begin()
        client.see()
        client.say("record", on=True)
        client.hear("recording")
        assert client.hear("recorded")["frames"] == 1 + 3 * 4
        client.see()


def test_a_recording_that_cannot_be_saved_is_said_to_be_lost(world: WorldPipeline, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with served_in_thread(world, options_for(tmp_path, out=tmp_path / "file" / "below")) as address:
        with player(address) as (client, _):
            client.begin()
            client.see()
            for _ in range(2):
                client.say("record", on=True)
                client.hear("recording")
                client.see()
                client.say("record", on=False)
                assert "could not be saved" in client.hear("unrecorded")["message"]
            client.say("record", on=True)
            client.hear("recording")
            client.see()
        check_it_lives(address)


def test_only_so_many_may_wait(server: str) -> None:
    with ExitStack() as stack:
        for _ in range(1 + 8):
            stack.enter_context(connected(server)).socket.recv(timeout=30)
        with pytest.raises(ConnectionClosed) as closed:
            stack.enter_context(connected(server)).socket.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013  # "try again later"
    check_it_lives(server)


def test_a_second_player_waits_and_gets_in(server: str) -> None:
    with player(server) as (first, _), connected(server) as second, connected(server) as third:
        assert "Someone is playing" in second.hear("busy")["message"]
        third.hear("busy")
        second.say("reset", frame="file-0")
        assert "not your turn" in second.hear("error")["message"]
        first.begin()
        first.see()
        third.socket.close()  # who waits may leave
        first.socket.close()
        second.hear("welcome")
        second.begin()
        assert second.see()[0]["chunk"] == 0


# -------------------------------------------------------------------- clients that do what they should not


GARBAGE: list[tuple[str | bytes, str]] = [
    ("hello", "Invalid JSON"),
    ("", "Invalid JSON"),
    (b"\x00\xff\x13", "binary message came, expected JSON"),
    ("[1, 2]", "should be an object"),
    ("{}", "Unable to extract tag"),
    ('{"type": "fly"}', "does not match any of the expected tags"),
    ('{"type": "hold", "stamp": 1}', "hold.sticks: Field required"),
    (json.dumps({**NEUTRAL, "sticks": [0, 0, 0]}), "hold.sticks"),
    (json.dumps({**NEUTRAL, "sticks": [0, 0, float("nan"), 0]}), "hold.sticks.2.*finite number"),
    (json.dumps({**NEUTRAL, "sticks": [0, 0, 0, 1.5]}), "hold.sticks.3.*less than or equal to 1; found 1.5"),
    (json.dumps({**NEUTRAL, "sticks": "left"}), "hold.sticks"),
    (json.dumps({**NEUTRAL, "buttons": [0, 0, 0, 0, 0, 2]}), "hold.buttons.5"),
    (json.dumps({**NEUTRAL, "stamp": float("inf")}), "hold.stamp"),
    (json.dumps({**NEUTRAL, "more": 1}), "hold.more: Extra"),
    ('{"type": "painted", "play": -1, "chunk": 0, "left": 0}', "painted.play"),
    ('{"type": "reset", "frame": "file-99"}', "no first frame 'file-99'"),
    ('{"type": "reset", "frame": "file-0", "seed": -1}', "reset.seed"),
    ('{"type": "reset", "frame": "file-0", "steps": 0}', "reset.steps"),
    ('{"type": "reset", "frame": "file-0", "guidance": 1e9}', "reset.guidance"),
    (json.dumps({"type": "reset", "frame": "x" * 5000}), "characters, expected at most 4096"),
]


def test_garbage_is_answered_and_the_game_goes_on(server: str) -> None:
    for part in (GARBAGE[: MAX_MISTAKES // 2], GARBAGE[MAX_MISTAKES // 2 :]):
        with player(server) as (client, _):
            client.begin(seed=5)
            for garbage, expected in part:
                client.socket.send(garbage)
                message = client.hear("error")["message"]
                assert expected.split(".*")[0] in message and expected.split(".*")[-1] in message, message
            client.see()
    check_it_lives(server)


@pytest.mark.parametrize("flood", [["nonsense"] * MAX_MISTAKES, [json.dumps(NEUTRAL)] * 5000])
def test_who_goes_too_far_is_sent_away(server: str, flood: list[str]) -> None:
    with player(server) as (client, _):
        client.begin()
        with pytest.raises(ConnectionClosed) as closed:
            for message in flood:
                client.socket.send(message)
            while True:
                client.socket.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    assert "could not be used" in closed.value.rcvd.reason or "within a second" in closed.value.rcvd.reason
    check_it_lives(server)


def test_messages_without_end_are_not_read(server: str) -> None:
    with player(server) as (client, _), pytest.raises(ConnectionClosed) as closed:
        client.socket.send("x" * 300_000)
        client.socket.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009  # "message too big"
    check_it_lives(server)


def test_too_many_commands_at_once(server: str) -> None:
    with player(server) as (client, _):
        for _ in range(12):
            client.say("reset", frame="file-0", steps=20)
        heard = [json.loads(message) for message in texts(client) if '"error"' in message]
        assert heard
        assert all("commands are waiting already" in message["message"] for message in heard)
    check_it_lives(server)


def texts(client: Client) -> list[str]:
    """What is said until nothing more is."""
    found: list[str] = []
    try:
        while True:
            received = client.socket.recv(timeout=0.5)
            if isinstance(received, str):
                found.append(received)
    except TimeoutError:
        return found


def test_a_client_that_leaves_in_the_middle_of_a_chunk(server: str) -> None:
    with player(server) as (client, _):
        client.begin(steps=100)
        client.see()
        client.socket.socket.close()  # without a goodbye, while the next chunk is made
    check_it_lives(server)


def test_a_world_that_fails_ends_and_another_begins(server: str, world: WorldPipeline) -> None:
    scale: Any = world.transformer.proj_out.weight
    with player(server) as (client, _):
        client.begin(seed=5)
        client.see()
        kept = scale.detach().clone()
        try:
            with torch.no_grad():
                scale.fill_(float("nan"))
            assert (
                "the world ended: the sampler ended with values that are not finite"
                in client.hear("error")["message"]
            )
        finally:
            with torch.no_grad():
                scale.copy_(kept)
        client.begin(seed=5)
        assert np.array_equal(client.see()[1], neutral_frames(5, 1)[0])

"""What the server is made of, without a server: rows of controls, pace, messages, frames as bytes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.playing.controls import Controls
from infer.playing.frame_format import frame_message, read_frame_message
from infer.playing.messages import Hold, MistakeError, Painted, Record, Reset, parse
from infer.playing.origin_guard import is_loopback
from infer.playing.pace import Pace

NONE, FIRE = (0,) * 6, (1, 0, 0, 0, 0, 0)
STILL, FORWARD = (0, 0, 0, 0), (0, -1, 0, 0)


def test_rows_are_the_time_since_the_last_in_equal_parts() -> None:
    controls = Controls(10.0)
    controls.hold(FORWARD, NONE, 1, 10.0)
    controls.hold(STILL, FIRE, 2, 10.25)  # in the middle of the first of four parts of half a second
    controls.hold(FORWARD, NONE, 3, 11.5)
    rows, stamps = controls.take(4, 12.0)
    assert rows[:, 1].tolist() == [-0.5, 0, 0, -1]
    assert rows[:, 4].tolist() == [1, 1, 1, 0]
    assert stamps == [1, None, None, 3]
    held, stamps = controls.take(3, 13.0)
    assert np.array_equal(held, np.repeat(rows[3:], 3, 0))  # nothing new: all is held on
    assert stamps == [None] * 3


def test_a_tap_is_never_lost_and_never_long() -> None:
    controls = Controls(0)
    controls.hold(STILL, FIRE, 5, 0.9)
    controls.hold(STILL, NONE, 6, 0.901)
    rows, stamps = controls.take(4, 4)
    assert rows[:, 4].tolist() == [1, 0, 0, 0]
    assert stamps == [5, None, None, None]
    assert not controls.take(2, 5)[0].any()


def test_no_time_at_all_gives_what_is_held_now() -> None:
    controls = Controls(0)
    controls.hold(FORWARD, FIRE, 1, 0)
    rows, _ = controls.take(2, 0)
    assert np.array_equal(rows[1], [*FORWARD, *FIRE])
    controls.hold(STILL, NONE, 2, 1)
    controls.skip(2)
    assert not controls.take(3, 3)[0].any()


changes = st.lists(
    st.tuples(st.floats(0, 1), st.floats(-1, 1), st.integers(0, 1)), min_size=1, max_size=700
).map(lambda found: sorted(found, key=lambda change: change[0]))


@given(changes, st.integers(1, 12))
def test_rows_keep_in_range_and_every_press_is_in_one(
    found: list[tuple[float, float, int]], count: int
) -> None:
    controls = Controls(0)
    for time, stick, button in found:
        controls.hold((stick, 0, 0, 0), (button, 0, 0, 0, 0, 0), 1000 * time, time)
    rows, stamps = controls.take(count, 1)
    assert (np.abs(rows[:, :4]) <= 1 + 1e-6).all()
    assert np.isin(rows[:, 4:], (0, 1)).all()
    kept = found[:511] + found[511:][-1:]  # of a flood the newest change
    assert rows[:, 4].any() == any(button for _, _, button in kept)
    assert [stamp for stamp in stamps if stamp is not None] == sorted(
        stamp for stamp in stamps if stamp is not None
    )
    now, _ = controls.take(1, 2)
    assert now[0, 0] == np.float32(found[-1][1])
    assert now[0, 4] == found[-1][2]


def simulated(
    cost: float, rate: float = 20, chunks: int = 40, delay: float = 0.002
) -> dict[str, list[float]]:
    """A page and a machine whose chunks of four frames take ``cost`` seconds: times of the events."""
    pace, now = Pace(rate), 0.0
    until, begun = 0.0, []  # the page's queue: shown until then; chunks that begin to be seen at
    found: dict[str, list[float]] = {"start": [], "shown": []}
    for number in range(chunks):
        while True:
            for chunk, time, left in [event for event in begun if event[1] <= now]:
                pace.painted(chunk, left, time)
                begun.remove((chunk, time, left))
            start = pace.start()
            if start is not None and start <= now:
                break
            wake = [time for _, time, _ in begun] + ([] if start is None else [start])
            assert wake, "the pace waits for ever"
            now = max(now, min(wake))
        found["start"].append(now)
        now += cost
        frames = 1 if number == 0 else 4
        pace.made(frames, cost, now)
        shown = max(until, now + delay)
        until = shown + frames / rate
        begun.append((number, shown, frames / rate))
        found["shown"].append(shown)
    return found


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_machine_that_is_fast_enough_shows_every_frame_in_time_and_begins_late(share: float) -> None:
    length = 4 / 20
    found = simulated(share * length)
    gaps = np.diff(found["shown"][3:])
    assert np.allclose(gaps, length)
    latencies = np.array(found["shown"][3:]) - np.array(found["start"][3:])
    assert (latencies >= share * length).all()
    assert (latencies <= share * length + 0.1 * length).all()


def test_a_slow_machine_never_rests_and_is_never_more_than_a_chunk_ahead() -> None:
    length = 4 / 20
    found = simulated(1.5 * length)
    assert np.allclose(np.diff(found["start"][2:]), 1.5 * length)
    for number in range(2, len(found["start"])):
        assert found["start"][number] >= found["shown"][number - 2]


def test_a_page_that_shows_nothing_stops_the_world() -> None:
    pace = Pace(20)
    assert pace.start() == 0
    pace.made(1, 0.1, 1.0)
    assert pace.start() == 0
    pace.made(4, 0.1, 1.2)
    assert pace.start() is None
    pace.painted(5, 0, 1.3)  # of a chunk that was never made
    assert pace.start() is None
    pace.painted(0, 0.2, 1.3)
    assert pace.start() is not None


def test_messages_are_read() -> None:
    hold = {"type": "hold", "stamp": 12.5, "sticks": [0, -1, 0.25, 1], "buttons": [0, 1, 0, 0, 0, 1]}
    assert parse(json.dumps(hold)) == Hold(
        **{**hold, "sticks": (0, -1, 0.25, 1), "buttons": (0, 1, 0, 0, 0, 1)}
    )
    painted = {"type": "painted", "play": 1, "chunk": 4, "left": 0.5}
    assert parse(json.dumps(painted)) == Painted(**painted)
    assert parse('{"type": "reset", "frame": "file-0"}') == Reset(type="reset", frame="file-0")
    assert parse('{"type": "record", "on": false}') == Record(type="record", on=False)


@given(st.text(max_size=200) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_garbage_is_a_mistake(text: str) -> None:
    with pytest.raises(MistakeError, match="not understood"):
        parse(text)


@pytest.mark.parametrize("size", [(5, 4), (160, 200)])
def test_frames_travel_whole_or_as_pictures(size: tuple[int, int]) -> None:
    slope = np.linspace(0, 255, size[1], dtype=np.uint8)
    frames = np.stack([np.broadcast_to((slope // part)[None, :, None], (*size, 3)) for part in (1, 2, 3)])
    message = frame_message(frames, {"chunk": 3})
    head, read = read_frame_message(message)
    assert (head["chunk"], head["frames"], head["height"], head["width"]) == (3, 3, *size)
    if head["sizes"] is None:
        assert np.array_equal(read, frames)
    else:
        assert len(message) < frames.nbytes / 4
        assert np.abs(read.astype(int) - frames).mean() < 2


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "example.org", "")))

"""The health of a run: what its log says, through the real loop."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_training import Chase, make_networks, train

from train.health import Reference, examine
from train.interrupts import RunInterrupted
from train.previews import Pictures, Preview


def records(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def pictures(level: int, spread: int = 0) -> Pictures:
    """Four pictures around a brightness."""
    random = np.random.default_rng(level)
    pixels = level + random.integers(-spread, spread + 1, (4, 6, 6, 3))
    return Pictures([Image.fromarray(picture.clip(0, 255).astype(np.uint8)) for picture in pixels], columns=2)


# ---------------------------------------------------------------- clipped gradients


@pytest.mark.parametrize(("clip", "share"), [(1e-9, 1.0), (1e9, 0.0)])
def test_all_or_none_are_clipped(tmp_path, clip, share):
    train(tmp_path, clip_grad_norm=clip)
    assert {(record["clipped/fake"], record["clipped/student"]) for record in records(tmp_path)} == {
        (share, share)
    }


def test_the_share_of_clipped_gradients_is_that_since_the_last_record(tmp_path):
    # The norms of both networks lie on both sides of the limit.
    train(tmp_path / "each", log_every=1, clip_grad_norm=1.0)
    train(tmp_path / "thirds", log_every=4, clip_grad_norm=1.0)
    each = records(tmp_path / "each")
    for name in ("fake", "student"):
        norms = [record.get(f"grad_norm/{name}") for record in each]
        clipped = [float(norm > 1.0) for norm in norms if norm is not None]
        assert [record[f"clipped/{name}"] for record in each if f"clipped/{name}" in record] == clipped
        assert 0 < sum(clipped) < len(clipped)
        shares = [record[f"clipped/{name}"] for record in records(tmp_path / "thirds")]
        size = len(clipped) // 3
        assert shares == [sum(clipped[i * size : (i + 1) * size]) / size for i in range(3)]


def test_a_run_without_clipping_has_no_share(tmp_path):
    train(tmp_path, clip_grad_norm=None)
    assert not any(name.startswith("clipped/") for record in records(tmp_path) for name in record)


# ---------------------------------------------------------------- files


class Stopping(Chase):
    """Asks the run to stop in an iteration."""

    stop_in: int | None = None

    def losses(self, batch, draws):
        if draws.step == self.stop_in:
            signal.raise_signal(signal.SIGTERM)
        return super().losses(batch, draws)


def drawn_run(output: Path, *, resume=None, stop_in=None, about="a", level=120, **settings) -> list[str]:
    """A run with previews that darken with the iterations; returns what was drawn."""
    drawn = []

    def draw(step, networks):
        drawn.append(f"preview {step}")
        return pictures(max(0, 120 - 10 * step), 20)

    def reference(networks):
        assert networks.keys() == {"teacher"} and not networks["teacher"].training
        drawn.append("reference")
        return pictures(level, 20)

    method = Stopping(*make_networks())
    method.stop_in = stop_in
    train(
        output,
        resume=resume,
        method=method,
        preview=Preview(draw, reference, about={"prompts": [about]}),
        **{"preview_every": 4, **settings},
    )
    return drawn


def outcome(run: Path) -> dict[str, bytes]:
    named = ["log.jsonl", "health.json", "health.png", "curves.png"]
    named += [f"previews/{path.name}" for path in (run / "previews").iterdir()]
    return {name: (run / name).read_bytes() for name in named}


def test_a_stopped_run_ends_with_the_files_of_an_unbroken_one(tmp_path, capsys):
    whole = drawn_run(tmp_path / "whole")
    assert whole == ["reference", "preview 4", "preview 8", "preview 12"]
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("health: ")]
    expected = outcome(tmp_path / "whole")
    assert {"previews/teacher.png", "previews/step-00000004.png"} <= expected.keys()

    # One stop is before a preview, one in the iteration of a preview, which is then still to be drawn.
    for stop_in in (4, 7, 11):
        run = tmp_path / f"stopped-{stop_in}"
        with pytest.raises(RunInterrupted):
            drawn_run(run, stop_in=stop_in)
        rest = drawn_run(run, resume="latest")
        assert "reference" not in rest
        assert outcome(run) == expected
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("health: ")]
        assert [line.split(" (")[0] for line in told] == [line.split(" (")[0] for line in said]


def test_a_preview_that_left_the_reference_is_noted_once_with_the_last_good_step(tmp_path, capsys):
    drawn_run(tmp_path, level=85)
    health = json.loads((tmp_path / "health.json").read_text())
    assert [entry["step"] for entry in health["previews"]] == [4, 8, 12]
    assert ["mean" in entry["outside"] for entry in health["previews"]] == [False, True, True]
    assert health["last_good"] == 4
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("health: ")]
    assert len(said) == 1 and "preview of step 8" in said[0] and "last good: step 4" in said[0]
    assert "checkpoints/step-00000004 is still there" in said[0]  # though not for long
    assert health["notes"].keys() == {"previews"} and "step 12" in health["notes"]["previews"]


def test_previews_of_other_prompts_are_compared_to_a_reference_of_their_own(tmp_path):
    drawn_run(tmp_path, steps=8)
    assert drawn_run(tmp_path, steps=12, resume="latest", about="b") == ["reference", "preview 12"]
    health = json.loads((tmp_path / "health.json").read_text())
    assert health["reference"]["about"] == {"prompts": ["b"]} and health["reference"]["since"] == 8
    assert ["outside" in entry for entry in health["previews"]] == [False, False, True]


def test_a_broken_file_is_an_error(tmp_path):
    drawn_run(tmp_path, steps=4)
    (tmp_path / "health.json").write_text("{")
    with pytest.raises(ValueError, match=r"health\.json is not JSON"):
        drawn_run(tmp_path, steps=8, resume="latest")


# ---------------------------------------------------------------- what is noted


def log(**curves: list[float]) -> list[dict]:
    return [
        {"step": step, **dict(zip(curves, values, strict=True))}
        for step, values in enumerate(zip(*curves.values(), strict=True), start=1)
    ]


def test_a_curve_that_rises_is_noted():
    rising = [1 + 0.1 * step for step in range(60)]
    notes = examine(log(**{"loss/fake": rising, "student/gap_matching": rising[::-1]}), None).notes
    assert notes.keys() == {"loss/fake"}
    assert examine(log(**{"student/gap_off_trajectory": rising}), None).notes.keys() == {
        "student/gap_off_trajectory"
    }


def test_what_does_not_go_on_rising_is_not_noted():
    settled = [min(1.0, 0.02 + 0.1 * step) for step in range(60)]  # the gap of networks that began as one
    short = [1 + 0.5 * step for step in range(29)]
    assert not examine(log(**{"student/gap_matching": settled, "loss/fake": [0.2] * 60}), None).notes
    assert not examine(log(**{"loss/fake": short}), None).notes
    assert not examine(log(**{"loss/model": [1.0 + step for step in range(60)]}), None).notes


def test_the_last_good_preview_is_the_latest_one_inside():
    reference = Reference({"saturated": 0.1, "mean": 0.5}, {"saturated": 0.01, "mean": 0.01})
    saturation = [0.1, 0.6, 0.12, 0.5, 0.9]
    records = log(**{"preview/saturated": saturation, "preview/mean": [0.5] * 5})
    health = examine(records, reference)
    assert [entry["outside"] for entry in health.previews] == [[], ["saturated"], [], *2 * [["saturated"]]]
    assert health.last_good == 3
    assert "saturated 0.90 (expected 0.00 to 0.32); last good: step 3" in health.notes["previews"]
    assert not examine(records[:3], reference).notes  # it came back
    assert examine(records, reference, since=4).last_good is None
    assert not examine(records, None).notes

"""The studio: what its clips show is what their truth says."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.tryon_data.conftest import SETTINGS
from vision.media.data_set import SETTINGS_NAME, SHEET_NAME
from vision.media.video import read_video
from vision.tryon import studio
from vision.tryon.actions import action_faults
from vision.tryon.check import check
from vision.tryon.drawing.actions import (
    ACTIONS,
    CAPTIONS,
    STATE_NAMES,
    Action,
    ClothState,
    cloth_states,
    cuts_for,
)
from vision.tryon.drawing.canvas import Canvas
from vision.tryon.drawing.clip import StudioClip, StudioScene
from vision.tryon.drawing.figure import FIGURES, figure
from vision.tryon.drawing.garment import GARMENTS, garment
from vision.tryon.drawing.plan import StudioPlan, StudioSettings, planned_clips, room_for
from vision.tryon.drawing.prints import PHOTOGRAPHS
from vision.tryon.drawing.rendering import MAP_SCALE, paint_frame
from vision.tryon.drawing.writer import TRUTH_NAME, dataset_settings
from vision.tryon.index import INDEX_NAME

CANVAS = Canvas(SETTINGS.height, SETTINGS.width)
HIDDEN = StudioSettings(decoy="always")


def a_plan(action: str, first: int = 5, last: int = 12, **fields) -> StudioPlan:
    values = {
        "number": 0,
        "split": "train",
        "figure": 3,
        "cut": cuts_for(action)[0],
        "garment": 5,
        "other": 7,
        "actions": (Action(action, first, last, side=1),),
        "start": ClothState(closed=0.0 if action in ("zip", "button") else 1.0),
        "scene": 11,
    }
    return StudioPlan(**{**values, **fields})


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_shows_in_its_frames_and_what_stays_of_it_after(action: str) -> None:
    plan = a_plan(action)
    scene = StudioScene(plan, HIDDEN, canvas=CANVAS)
    still = StudioScene(plan, HIDDEN, actions=(), canvas=CANVAS)
    worn = garment("train", plan.cut, plan.garment)
    (shown, cloth), (calm, calm_cloth) = scene.worn(worn), still.worn(worn)
    changed = (np.abs(shown.astype(int) - calm).max(-1) > 24).mean((1, 2))
    assert not (changed[:5] > 0).any(), "before the action"
    assert (changed[5:7] > 0).all()
    assert (changed[7:12] > 0.003).all(), changed
    stays = action in ("collar", "roll", "zip", "button")
    assert (changed[13:] > 0.01).all() if stays else not (changed[13:] > 0).any()
    assert (cloth[8] != calm_cloth[8]).any()


@pytest.mark.parametrize("action", ACTIONS)
def test_the_garment_changes_only_within_actions(action: str) -> None:
    for both in (False, True):
        actions = (Action(action, 3, 6, 1, both), Action("hem", 9, 10, -1), Action("collar", 12, 14, -1))
        states = cloth_states(actions, ClothState(closed=0.0), "shirt", 17)
        rows = np.array([state.numbers() for state in states])
        assert rows.shape == (17, len(STATE_NAMES))
        moved = np.flatnonzero((np.diff(rows, axis=0, prepend=rows[:1]) != 0).any(1))
        within = {frame for one in actions for frame in range(one.first, one.last + 1)}
        # What springs back is at rest in the frame after its action.
        assert set(moved) <= within | {one.last + 1 for one in actions if one.name in ("hem", "stretch")}
        assert set(moved) & {3, 4, 5, 6}
        assert rows.min() >= 0
        assert rows.max() <= 1


def test_with_the_decoy_only_the_text_tells_when() -> None:
    plan = a_plan("collar")
    late = (Action("hem", 14, 15, -1),)
    for first, second in zip(
        StudioScene(plan, HIDDEN, canvas=CANVAS).conditions(),
        StudioScene(plan, HIDDEN, actions=late, canvas=CANVAS).conditions(),
        strict=True,
    ):
        np.testing.assert_array_equal(first, second)
    hands = [
        StudioScene(plan, StudioSettings(), actions=actions, canvas=CANVAS).conditions()[2]
        for actions in (plan.actions, late)
    ]
    assert (hands[0] != hands[1]).any()


def test_a_hand_that_hovers_is_the_one_that_acts() -> None:
    for plan in planned_clips(40, HIDDEN):
        body = StudioScene(plan, HIDDEN, canvas=CANVAS).bodies[0]
        # The one that hovers is over the trunk, the other one hangs.
        hovering = min((-1, 1), key=lambda side: body.wrists[side][1])
        assert {(action.side, action.both) for action in plan.actions} == {(hovering, False)}


def test_the_caption_tells_how_the_garment_is_worn_at_first() -> None:
    for plan in planned_clips(60, SETTINGS):
        worn, _, done = plan.caption.partition(": ")
        assert ("an open" in worn) == (plan.start.closed == 0)
        for side, word in ((-1, "left"), (1, "right")):
            assert (word in worn) == (plan.start.rolled[side] == 1)
        assert {CAPTIONS[action.name].lower() for action in plan.actions} == set(done.split(", "))


def test_mixed_clips_are_of_both_kinds() -> None:
    found = set()
    for plan in list(planned_clips(8, SETTINGS))[6:]:
        hands = {
            decoy: StudioScene(plan, replace(SETTINGS, decoy=decoy), canvas=CANVAS).conditions()[2].tobytes()
            for decoy in ("none", "always", "mixed")
        }
        found.add(next(decoy for decoy, pixels in hands.items() if pixels == hands["mixed"]))
    assert found == {"none", "always"}


def test_another_garment_changes_nothing_but_the_cloth() -> None:
    plan = a_plan("collar")
    scene = StudioScene(plan, StudioSettings(), canvas=CANVAS)
    clip, other = scene.clip(), scene.clip(plan.other)
    for name in ("mask", "pose", "hand", "cloth", "action", "state"):
        np.testing.assert_array_equal(getattr(clip, name), getattr(other, name))
    # What the map calls no cloth is the same in every garment, but for pixels at an edge of cloth.
    bare = np.stack(
        [cv2.erode((frame[..., 0] == 0).astype(np.uint8), np.ones((3, 3))) for frame in clip.cloth]
    )
    assert (clip.video[bare > 0] == other.video[bare > 0]).mean() > 0.999
    outside = ~clip.mask
    np.testing.assert_array_equal(clip.video[outside], other.video[outside])
    worn = clip.cloth[..., 0] > 0
    assert 0.1 < worn.mean() < 0.5
    assert np.abs(clip.video[worn].astype(int) - other.video[worn]).mean() > 20
    assert (clip.garment != other.garment).any()
    calm = scene.worn(garment("train", plan.cut, plan.garment), [plan.start] * 17)[0]
    np.testing.assert_array_equal(calm[:5], clip.video[:5])
    assert (calm[12:] != clip.video[12:]).any()
    with pytest.raises(ValueError, match="a polo"):
        scene.worn(garment("train", "polo", 0))


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
def test_the_mask_holds_all_cloth_and_leaves_the_face(number: int) -> None:
    decoy = ("none", "gaps", "always")[number % 3]
    settings = StudioSettings(actions=(2, 3), action_frames=(1, 4), aligned=False, decoy=decoy)
    plan = list(planned_clips(number + 1, settings))[-1]
    clip = StudioScene(plan, settings, canvas=CANVAS).clip()
    outside = (clip.cloth[..., 0] > 0) & ~clip.mask
    assert not outside.any(), outside.sum((1, 2))
    assert 0.25 < clip.mask.mean() < 0.75
    assert not clip.mask[:, :10].all(axis=(1, 2)).any()


def test_the_cloth_map_finds_the_print_in_the_garments_picture() -> None:
    plans = planned_clips(60, SETTINGS)
    printed = [plan for plan in plans if garment(plan.split, plan.cut, plan.garment).body.std() > 0.2][:3]
    for plan in printed:
        clip = StudioScene(plan, SETTINGS, canvas=CANVAS).clip()
        right = likeness(clip, 0, 0)
        assert right > 0.7
        assert right > max(likeness(clip, dx, dy) for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)))


def likeness(clip: StudioClip, dx: float, dy: float) -> float:
    """Correlation of the first frame's cloth with the garment's picture, looked up some pixels off."""
    height, width = clip.garment.shape[:2]
    there = clip.cloth[0].astype(np.float32) - 1
    x, y = there[..., 0] / MAP_SCALE * width - 0.5, there[..., 1] / MAP_SCALE * height - 0.5
    inner = cv2.erode((clip.cloth[0, ..., 0] > 0).astype(np.uint8), np.ones((5, 5))) > 0
    found = cv2.remap(clip.garment, x + dx, y + dy, cv2.INTER_LINEAR)
    return float(np.corrcoef(found[inner].ravel(), clip.video[0][inner].ravel())[0, 1])


def test_clips_are_functions_of_seed_and_number() -> None:
    plans = list(planned_clips(40, SETTINGS))
    assert plans[:7] == list(planned_clips(7, SETTINGS))
    assert plans != list(planned_clips(40, StudioSettings(seed=1, unpaired="all")))
    first, again = (StudioScene(plans[3], SETTINGS).clip() for _ in range(2))
    for name in ("video", "garment", "cloth", "mask", "pose", "hand"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert {plan.split for plan in plans} == {"train", "test"}
    assert [plan.split for plan in plans].count("test") == 4


def test_large_frames_show_the_same_as_small_ones() -> None:
    plan = a_plan("roll")
    small = StudioScene(plan, SETTINGS, canvas=CANVAS)
    large = StudioScene(plan, replace(SETTINGS, height=768, width=576))
    worn = garment("train", plan.cut, plan.garment)
    pictures = [
        paint_frame(scene.canvas, scene.background, scene.figure, worn, scene.bodies[9], scene.states[9])
        for scene in (small, large)
    ]
    reduced = cv2.resize(pictures[1].pixels, (72, 96), interpolation=cv2.INTER_AREA)
    assert np.abs(reduced.astype(int) - pictures[0].pixels).mean() < 4


def test_people_garments_and_prints_of_the_splits_differ() -> None:
    assert not set(PHOTOGRAPHS["train"]) & set(PHOTOGRAPHS["test"])
    people = {
        split: {figure(split, number).skin.tobytes() for number in range(FIGURES)} for split in PHOTOGRAPHS
    }
    assert not people["train"] & people["test"]
    bodies = {
        split: {
            garment(split, "polo", number).body.tobytes() for number in range(0, GARMENTS, GARMENTS // 10)
        }
        for split in PHOTOGRAPHS
    }
    assert len(bodies["train"]) == len(bodies["test"]) == 10
    assert not bodies["train"] & bodies["test"]


def test_all_actions_are_about_as_frequent() -> None:
    settings = StudioSettings(actions=(1, 1))
    names = [plan.actions[0].name for plan in planned_clips(600, settings)]
    assert all(70 < names.count(name) < 130 for name in ACTIONS)


@given(
    groups=st.integers(4, 20),
    least=st.integers(0, 4),
    more=st.integers(0, 3),
    short=st.integers(1, 9),
    longer=st.integers(0, 8),
    aligned=st.booleans(),
    number=st.integers(0, 99),
)
def test_actions_fit_with_gaps(
    groups: int, least: int, more: int, short: int, longer: int, aligned: bool, number: int
) -> None:
    frames, count = 1 + 4 * groups, least + more
    needed = -(-short // 4) * 4 if aligned else short
    if count and room_for(frames, count, aligned) < needed:
        return
    settings = StudioSettings(
        frames=frames, actions=(least, count), action_frames=(short, short + longer), aligned=aligned
    )
    plan = list(planned_clips(number + 1, settings))[number]
    assert least <= len(plan.actions) <= count
    times = tuple((action.first, action.last, CAPTIONS[action.name]) for action in plan.actions)
    assert not list(action_faults(times, frames, "drawn"))
    for action in plan.actions:
        assert action.first >= 1
        length = action.last - action.first + 1
        most = short + longer
        assert needed <= length <= max(needed, (-(-most // 4) * 4) if aligned else most)
        assert not aligned or action.last % 4 == (action.first - 1) % 4 == 0
    for before, after in zip(plan.actions, plan.actions[1:], strict=False):
        assert after.first - before.last > 1
        assert after.name != before.name


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"frames": 18}, "4n"),
        ({"frames": 85}, "17 to 81"),
        ({"height": 64}, "at least 96x72"),
        ({"width": 75}, "even"),
        ({"actions": (3, 2)}, "range"),
        ({"actions": (0, 9)}, "do not fit"),
    ],
)
def test_settings_that_cannot_be_drawn_are_told(wrong: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        StudioSettings(**wrong)


def test_files_hold_what_was_drawn(studio_set: Path) -> None:
    for plan in planned_clips(2, SETTINGS):
        scene = StudioScene(plan, SETTINGS, canvas=CANVAS)
        clip, folder = scene.clip(), studio_set / plan.name
        with np.load(folder / TRUTH_NAME, allow_pickle=False) as truth:
            for name in ("mask", "action", "state", "cloth"):
                np.testing.assert_array_equal(truth[name], getattr(clip, name))
        mask = read_video(folder / "mask.mp4")[0][0] >= 128
        assert torch.equal(mask, torch.from_numpy(clip.mask))
        swapped = scene.worn(garment(plan.split, plan.cut, plan.other))[0]
        for name, frames in (("video", clip.video), ("hand", clip.hand), ("unpaired", swapped)):
            kept = read_video(folder / f"{name}.mp4")[0].permute(1, 2, 3, 0).numpy().astype(float)
            assert 10 * np.log10(255**2 / np.mean((kept - frames) ** 2)) > 40, name


def test_a_data_set_grows_and_is_never_half_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = StudioSettings(unpaired="none")
    studio.draw(tmp_path, 1, settings)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "train" / "000000").iterdir()}
    leftover = tmp_path / "train" / ".000001.new"
    leftover.mkdir()
    studio.draw(tmp_path, 3, settings)
    assert "2 clips drawn, 1 were there already" in capsys.readouterr().out
    assert not leftover.exists()
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())
    lines = (tmp_path / INDEX_NAME).read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["000000", "000001", "000002"]
    assert (tmp_path / SHEET_NAME).stat().st_size > 1000
    assert check(tmp_path) == 0
    assert dataset_settings(tmp_path) == settings
    facts = json.loads((tmp_path / SETTINGS_NAME).read_text())
    (tmp_path / SETTINGS_NAME).write_text(json.dumps({**facts, "frames": 33}))
    with pytest.raises(ValueError, match=r"frames 33 \(now 17\)"):
        studio.draw(tmp_path, 3, settings)
    (tmp_path / SETTINGS_NAME).write_text(json.dumps({**facts, "studio_version": 0}))
    with pytest.raises(ValueError, match="version 0"):
        dataset_settings(tmp_path)
    with pytest.raises(ValueError, match="not of a data set"):
        dataset_settings(tmp_path / "train")


@pytest.mark.parametrize(
    "wrong", [["--actions", "3-1"], ["--size", "96"], ["--decoy", "some"], ["--clips", "0"]]
)
def test_wrong_words_on_the_command_line(tmp_path: Path, wrong: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        studio.main(["--out", str(tmp_path), "--clips", "1", *wrong])
    assert studio.main(["--out", str(tmp_path), "--clips", "1", "--frames", "18"]) == 2

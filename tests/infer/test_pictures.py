"""Names and seeds of pictures, and the ledger that lets a job go on."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from infer.ledger import Ledger
from infer.pictures import Picture, pictures_of

SETTINGS = {"seed": 3, "sigmas": [1.0, 0.5], "model": "here", "model_hash": "ab"}
IMAGE = Image.new("L", (3, 2), 7)


@given(st.lists(st.sampled_from(["a bag", "a  bag", "A bag!", "袋", ""]), min_size=1, max_size=6), st.data())
def test_a_picture_keeps_name_and_noise_whatever_stands_around_it(prompts: list[str], data: st.DataObject):
    pictures = pictures_of(prompts, 2)
    assert len({picture.file for picture in pictures}) == len(pictures) == 2 * len(prompts)
    assert len({picture.noise_seed(7) for picture in pictures}) == len(pictures)
    assert all(0 <= picture.noise_seed(7) < 2**63 for picture in pictures)
    # Another line anywhere in the file adds pictures and changes none.
    place = data.draw(st.integers(0, len(prompts)))
    longer = pictures_of([*prompts[:place], "another prompt", *prompts[place:]], 2)
    assert set(pictures) < set(longer)


def test_the_seed_changes_the_noise_of_every_picture():
    pictures = pictures_of(["a bag", "a boot"], 3)
    seeds = [picture.noise_seed(seed) for seed in (0, 1, -1) for picture in pictures]
    assert len(set(seeds)) == 18


def test_names_are_readable_and_safe():
    name = Picture("../../etc: A Red Bag, " + "very " * 40, 0, 2).file
    assert name.startswith("etc-a-red-bag-very-")
    assert name.endswith("-002.png")
    assert len(name) < 80


def filled(folder: Path, pictures: list[Picture], rank: int = 0) -> Ledger:
    ledger = Ledger(folder)
    ledger.open(SETTINGS)
    for picture in pictures:
        ledger.add(picture, IMAGE, {"noise_seed": picture.noise_seed(3), **SETTINGS}, rank)
    return ledger


def lines(ledger: Ledger) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ledger.path.read_text().splitlines()]


def test_records_are_joined_in_the_order_of_the_prompts(tmp_path: Path):
    pictures = pictures_of(["b", "a"], 2)
    ledger = filled(tmp_path, pictures[1:])
    ledger.add(pictures[0], IMAGE, SETTINGS, rank=1)
    ledger.close(pictures)
    assert [(line["prompt"], line["picture"]) for line in lines(ledger)] == [
        ("b", 0),
        ("b", 1),
        ("a", 0),
        ("a", 1),
    ]
    hidden = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert hidden == [".lock"]


def test_a_job_goes_on_where_a_killed_one_stopped(tmp_path: Path):
    pictures = pictures_of(["a", "b", "c", "d"], 1)
    filled(tmp_path, pictures[:3]).unlock()  # as the system does when a job is killed
    part = tmp_path / ".pictures.0.jsonl"
    part.write_text(part.read_text() + '{"file": "half a rec')
    (tmp_path / ".left.0f.png").write_bytes(b"half a picture")
    (tmp_path / pictures[0].file).write_bytes(b"edited")
    (tmp_path / pictures[1].file).unlink()
    ledger = Ledger(tmp_path)
    ledger.open(SETTINGS)
    assert ledger.made(pictures) == {pictures[2]}
    assert not (tmp_path / ".left.0f.png").exists()


def test_a_folder_has_one_job_at_a_time(tmp_path: Path):
    ledger = filled(tmp_path, [])
    with pytest.raises(ValueError, match="another job is writing"):
        Ledger(tmp_path).open(SETTINGS)
    ledger.close([])
    Ledger(tmp_path).open(SETTINGS)


def test_pictures_of_other_settings_are_not_mixed_in(tmp_path: Path):
    pictures = pictures_of(["a"], 1)
    filled(tmp_path, pictures).close(pictures)
    ledger = Ledger(tmp_path)
    with pytest.raises(ValueError, match=r"with seed 3 \(now 4\), sigmas \[1\.0, 0\.5\] \(now \[1\.0\]\)"):
        ledger.open({**SETTINGS, "seed": 4, "sigmas": [1.0]})
    ledger.close(pictures)
    # The same model in another place is the same model.
    Ledger(tmp_path).open({**SETTINGS, "model": "there"})


@pytest.mark.parametrize("line", ["{", "[]", '{"prompt": "a"}'])
def test_an_edited_ledger_is_refused(tmp_path: Path, line: str):
    (tmp_path / "pictures.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"line 1 of .*pictures\.jsonl is not a picture's record"):
        Ledger(tmp_path).open(SETTINGS)

"""Grids, strips and curves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vision.media import image_grid, plot_curves, plot_panels, strip


def flat(shade: int) -> Image.Image:
    return Image.new("L", (6, 4), shade)


def test_each_picture_is_at_its_place() -> None:
    rows = [[flat(10), flat(20), flat(30)], [flat(40), None]]
    grid = np.asarray(image_grid(rows, scale=2, gap=3))
    assert grid.shape == (3 + 2 * (8 + 3), 3 + 3 * (12 + 3), 3)
    for i, row in enumerate([[10, 20, 30], [40, 255, 255]]):
        for j, shade in enumerate(row):
            y, x = 3 + i * 11, 3 + j * 15
            assert (grid[y : y + 8, x : x + 12] == shade).all()
    # All else is paper.
    assert sorted(set(grid.ravel().tolist())) == [10, 20, 30, 40, 255]


def test_labels_stand_beside_the_pictures_and_do_not_cover_them() -> None:
    rows = [[Image.new("RGB", (60, 40), "green")] * 2] * 2
    plain = image_grid(rows)
    labelled = image_grid(rows, ["teacher, 50 steps", "student"], ["a photo of an ankle boot", "a bag"])
    assert labelled.width > plain.width
    assert labelled.height > plain.height
    left, top = labelled.width - plain.width, labelled.height - plain.height
    pixels = np.asarray(labelled)
    assert (pixels[top:, left:] == np.asarray(plain)).all()
    ink = pixels.max(-1) < 128
    assert ink[:top, left : left + 62].any()
    assert ink[:top, left + 62 :].any()
    assert ink[top : top + 42, :left].any()
    assert ink[top + 42 :, :left].any()
    assert not ink[:top, :left].any()


def test_wrong_grids_are_errors() -> None:
    with pytest.raises(ValueError, match="one size, found 6 x 4, 7 x 4"):
        image_grid([[flat(1), Image.new("L", (7, 4))]])
    with pytest.raises(ValueError, match="found none"):
        image_grid([[]])
    with pytest.raises(ValueError, match="1 rows needs as many labels, found 2"):
        image_grid([[flat(1)]], row_labels=["a", "b"])
    with pytest.raises(ValueError, match="2 columns needs as many labels, found 1"):
        image_grid([[flat(1), flat(2)]], column_labels=["a"])
    with pytest.raises(ValueError, match="at least one frame"):
        strip([])


def test_a_strip_has_the_first_and_the_last_frame() -> None:
    frames = [flat(10 * i) for i in range(9)]
    found = np.asarray(strip(frames, 3, gap=0))
    assert found[0, :, 0].tolist() == [0] * 6 + [40] * 6 + [80] * 6
    assert strip(frames).size == strip(frames, 20).size


def test_curves_are_drawn_whatever_the_log_holds(tmp_path: Path) -> None:
    path = tmp_path / "new" / "curves.png"
    records = [{"step": i, "loss/model": 10.0**-i, "lr/model": 1e-3, "note": "text"} for i in range(1, 6)]
    plot_curves([*records, {"step": 6, "loss/model": "inf", "loss/fake": 0.5}], path)
    with Image.open(path) as image:
        two_panels = np.asarray(image.convert("L"))
    assert (two_panels < 200).any()
    plot_curves([{"step": 1, "loss": 1.0}], path)
    with Image.open(path) as image:
        assert image.width < two_panels.shape[1]
    assert [p.name for p in path.parent.iterdir()] == ["curves.png"]
    with pytest.raises(ValueError, match="no numbers to draw in 1 records"):
        plot_curves([{"step": 1, "loss": "nan"}], path)


def test_panels_have_levels_and_a_caption(tmp_path: Path) -> None:
    panels = {"a": {"x": [(1, 0.2), (2, 0.4)], "y": [(2, 1.0)]}, "b": {"z": [(3, 5.0)]}}

    def drawn(**how: Any) -> np.ndarray:
        plot_panels(panels, tmp_path / "panels.png", **how)
        with Image.open(tmp_path / "panels.png") as image:
            return np.asarray(image.convert("RGB")).astype(int)

    plain = drawn()
    assert not np.array_equal(drawn(levels={"a": {"x": 0.3}}), plain)
    assert np.array_equal(drawn(levels={"b": {"x": 0.3}}), plain)  # no such curve there
    assert drawn(columns=1).shape[0] > plain.shape[0]
    captioned = drawn(caption="a long line of words " * 20)
    red = (captioned[..., 0] - captioned[..., 1]) > 100
    assert captioned.shape[0] > plain.shape[0] and red[: captioned.shape[0] // 4].any()

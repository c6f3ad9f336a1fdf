"""Frames of a real engine with their depth, as a folder that haze can be added to.

python -m infer.engine_depth --out outputs/engine_depth --frames 200
python -m vision.dehaze.synthesize --rgbd outputs/engine_depth --out outputs/haze
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from infer.options import at_least_one
from vision.command_line import exit_status

SETTINGS_NAME = "engine.json"
# A wall that fills the picture has few depths, and haze on it is one colour.
_FEWEST_DEPTHS, _ATTEMPTS = 16, 50


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _parse(argv)
    return exit_status(
        lambda: draw_frames(options.out, options.frames, options.size, options.game, options.seed),
        needs="install the engine: pip install -e '.[fps]'",
    )


def draw_frames(
    out: Path, frames: int, size: tuple[int, int] = (240, 320), game: str = "freedoom2", seed: int = 0
) -> None:
    """Draws what a player sees at random places, without the weapon, except the frames that are there.

    Each frame is a function of game, size, seed and its number. ``clear/NAME.png`` has 8 bits,
    ``depth/NAME.png`` 16: 256 times the engine's depth, which has 255 steps.

    Args:
        out: folder for ``clear``, ``depth`` and ``engine.json``.
        frames: in all, at least 1.
        size: height and width.
        game: "freedoom1" or "freedoom2".
        seed: of all draws.

    Raises:
        ValueError: the folder holds frames with other settings, or there is no such game or size.
    """
    from PIL import Image
    from tqdm import tqdm

    from vision.media import write_image

    _keep_settings(out, {"game": game, "size": list(size), "seed": seed})
    names = [f"{game}-{number:05}.png" for number in range(frames)]
    # The depth is written last, so a frame with depth is whole.
    missing = [number for number, name in enumerate(names) if not (out / "depth" / name).is_file()]
    if missing:
        from vision.world.engine import Engine

        with Engine(game, height=size[0], width=size[1], weapon_drawn=False, depth_drawn=True) as engine:
            for number in tqdm(missing, "drawing", unit="frame"):
                frame, depth = _seen(engine, seed, number)
                write_image(Image.fromarray(frame), out / "clear" / names[number])
                write_image(Image.fromarray((256 * depth).astype("uint16")), out / "depth" / names[number])
    print(f"{len(missing)} frames drawn, {frames - len(missing)} were there already: {out}")
    print(f"add haze  python -m vision.dehaze.synthesize --rgbd {out} --out DIR")


def _seen(engine, seed: int, number: int):
    """The first of a frame's places from which many depths are seen."""
    import numpy as np

    draws = np.random.default_rng([seed, number])
    for _ in range(_ATTEMPTS):
        frame, _ = engine.start(engine.maps[draws.integers(len(engine.maps))], int(draws.integers(2**32)))
        depth = engine.depth
        if len(np.unique(depth.round())) >= _FEWEST_DEPTHS:
            return frame, depth
    raise ValueError(f"frame {number}: every one of {_ATTEMPTS} places shows a wall; choose another --seed")


def _keep_settings(out: Path, facts: dict) -> None:
    from vision.whole_file import written_aside

    path = out / SETTINGS_NAME
    if path.is_file():
        found = json.loads(path.read_text("utf-8"))
        if found != facts:
            raise ValueError(
                f"{out} holds frames drawn with {found}, now {facts}; choose another --out or the same "
                "settings"
            )
        return
    with written_aside(path) as aside:
        aside.write_text(json.dumps(facts) + "\n", "utf-8")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m infer.engine_depth",
        description="Draws frames of Freedoom at random places with their depth, for haze of known truth. "
        "The same command goes on where an earlier one stopped.",
    )
    add = parser.add_argument
    add("--out", required=True, type=Path, help="folder for clear/, depth/ and engine.json")
    add("--frames", required=True, type=at_least_one, metavar="N", help="in all")
    add("--size", type=_size, default=(240, 320), metavar="HxW", help="height x width; default 240x320")
    add("--game", choices=("freedoom1", "freedoom2"), default="freedoom2", help="default freedoom2")
    add("--seed", type=int, default=0, help="default 0")
    return parser.parse_args(argv)


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected height x width such as 240x320")
    return int(height), int(width)


if __name__ == "__main__":
    raise SystemExit(main())

"""Records a data set of gamepad play with a real engine, in the layout of CrossFPS.

python -m vision.world.record --out outputs/fps --clips 1000 --workers 2
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vision.command_line import at_least_one, exit_status, height_x_width


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _parse(argv)
    return exit_status(
        lambda: record(
            options.out, options.clips, options.workers, options.size, options.frames, options.seed
        ),
        whole="clips",
        needs="install what recording needs: pip install -e '.[fps]'",
    )


def record(
    out: Path,
    clips: int,
    workers: int = 1,
    size: tuple[int, int] = (64, 64),
    frames: int = 81,
    seed: int = 0,
) -> None:
    """Records the clips of a data set that are not there yet, draws a contact sheet and says where all is.

    Args:
        out: folder of the data set.
        clips: in all, at least 1; of ten, eight are for training and one for each test split.
        workers: processes, each with its own engines.
        size: height and width of the frames.
        frames: of a clip, at least 1.
        seed: of all draws.

    Raises:
        ValueError: the folder holds a data set with other settings, or the engine does not draw the size.
    """
    from tqdm import tqdm

    from vision.media.data_set import SETTINGS_NAME, SHEET_NAME, keep_settings
    from vision.world.clip_plan import SPLITS, planned_clips
    from vision.world.clip_writer import RecordingSettings
    from vision.world.contact_sheet import write_contact_sheet
    from vision.world.render_size import render_size
    from vision.world.workers import record_in_processes

    render_size(*size)
    settings = RecordingSettings(seed, frames, *size)
    keep_settings(out, settings.facts())
    plans = list(planned_clips(clips, seed))
    missing = [plan for plan in plans if not (out / plan.name).is_dir()]
    with tqdm(total=len(missing) * frames, desc="recording", unit="frame", unit_scale=True) as bar:
        for _ in record_in_processes(missing, out, settings, workers):
            bar.update(frames)
    write_contact_sheet(plans, out, out / SHEET_NAME)
    counts = Counter(plan.split for plan in plans)
    print(f"{len(missing)} clips recorded, {len(plans) - len(missing)} were there already")
    for split in SPLITS:
        if counts[split]:
            print(f"{split:16}{out / split} ({counts[split]} clips of {frames} frames)")
    print(f"{'settings':16}{out / SETTINGS_NAME}")
    print(f"{'overview':16}{out / SHEET_NAME}")
    print(f"{'check':16}python -m vision.world.check {out} --frames {frames}")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vision.world.record",
        description="Plays Freedoom without looking at it and records frames, the ten controls and the "
        "player's state in the layout of CrossFPS: of ten clips eight for training, one on held-out maps of "
        "the same game and one in another game. The same command goes on where an earlier one stopped.",
    )
    add = parser.add_argument
    add("--out", required=True, type=Path, help="folder for <split>/<clip>/, dataset.json, contact_sheet.png")
    add("--clips", required=True, type=at_least_one, metavar="N", help="clips in all")
    add("--workers", type=at_least_one, default=1, metavar="W", help="processes; default 1")
    add(
        "--size",
        type=height_x_width,
        default=(64, 64),
        metavar="HxW",
        help="height x width of a frame; default 64x64",
    )
    add("--frames", type=at_least_one, default=81, metavar="T", help="frames of a clip; default 81")
    add("--seed", type=int, default=0, help="default 0")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())

"""Draws a data set for video try-on: people who handle garments, with exact truth, in VVT-Interact's layout.

python -m vision.tryon.studio --out outputs/studio --clips 1000 --workers 2
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vision.command_line import at_least_one, exit_status, height_x_width, number_range

if TYPE_CHECKING:
    from vision.tryon.drawing.plan import StudioPlan, StudioSettings

_CLIPS_A_SPLIT = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _parse(argv)
    return exit_status(lambda: _draw(options), whole="clips")


def _draw(options: argparse.Namespace) -> None:
    from vision.tryon.drawing.plan import StudioSettings

    settings = StudioSettings(
        seed=options.seed,
        frames=options.frames,
        height=options.size[0],
        width=options.size[1],
        actions=options.actions,
        action_frames=options.action_frames,
        aligned=not options.unaligned,
        decoy=options.decoy,
        unpaired=options.unpaired,
    )
    draw(options.out, options.clips, settings, options.workers)


def draw(out: Path, clips: int, settings: "StudioSettings", workers: int = 1) -> None:
    """Draws the clips of a data set that are not there yet, the index and a contact sheet; says where all is.

    Args:
        out: folder of the data set.
        clips: in all, at least 1; of ten, nine are for training.
        settings: of all clips.
        workers: processes.

    Raises:
        ValueError: the folder holds a data set with other settings.
    """
    from functools import partial

    from tqdm import tqdm

    from vision.media.data_set import SETTINGS_NAME, SHEET_NAME, keep_settings
    from vision.media.workers import record_side_by_side
    from vision.tryon.drawing.plan import SPLITS, planned_clips
    from vision.tryon.drawing.writer import StudioWriter, dataset_facts, joined_records
    from vision.tryon.index import INDEX_NAME
    from vision.whole_file import written_aside

    keep_settings(out, dataset_facts(settings))
    plans = list(planned_clips(clips, settings))
    missing = [plan for plan in plans if not (out / plan.name).is_dir()]
    with tqdm(total=len(missing), desc="drawing", unit="clip") as bar:
        for _ in record_side_by_side(missing, partial(StudioWriter, out, settings), workers):
            bar.update()
    with written_aside(out / INDEX_NAME) as aside:
        aside.write_text(joined_records(out, plans), "utf-8")
    _draw_sheet(plans, out, out / SHEET_NAME)
    counts = Counter(plan.split for plan in plans)
    print(f"{len(missing)} clips drawn, {len(plans) - len(missing)} were there already")
    for split in SPLITS:
        if counts[split]:
            print(f"{split:16}{out / split} ({counts[split]} clips of {settings.frames} frames)")
    print(f"{'index':16}{out / INDEX_NAME}")
    print(f"{'settings':16}{out / SETTINGS_NAME}")
    print(f"{'overview':16}{out / SHEET_NAME}")
    print(f"{'check':16}python -m vision.tryon.check {out}")


def _draw_sheet(plans: "list[StudioPlan]", folder: Path, path: Path) -> None:
    """The first clips of each split: garment and video, then the hands and the other garment's video."""
    from vision.media.data_set import write_contact_sheet
    from vision.tryon.contact_sheet import labelled_rows
    from vision.tryon.drawing.plan import SPLITS
    from vision.tryon.sample import TryOnSample

    shown = [plan for split in SPLITS for plan in [p for p in plans if p.split == split][:_CLIPS_A_SPLIT]]
    rows = []
    for plan in shown:
        sample = TryOnSample.of_folder(folder / plan.name)
        rows += labelled_rows(sample, f"{plan.name} ", ("video", "hand", "unpaired_video"))
    write_contact_sheet(rows, path)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vision.tryon.studio",
        description="Draws clips of people who handle their clothes, with the garment's picture, mask, pose, "
        "hands, timed actions and exact truth for each frame. Of ten clips nine are for training; the tenth "
        "shows people, garments and prints that training never does. The same command goes on where an "
        "earlier one stopped.",
    )
    add = parser.add_argument
    add("--out", required=True, type=Path, help="folder for <split>/<clip>/, meta.jsonl, contact_sheet.png")
    add("--clips", required=True, type=at_least_one, metavar="N", help="clips in all")
    add("--workers", type=at_least_one, default=1, metavar="W", help="processes; default 1")
    add(
        "--size",
        type=height_x_width,
        default=(96, 72),
        metavar="HxW",
        help="height x width of a frame, at least 96x72, which is the default",
    )
    add(
        "--frames", type=at_least_one, default=17, metavar="F", help="of a clip: 4n + 1, 17 to 81; default 17"
    )
    add(
        "--actions",
        type=number_range,
        default=(1, 2),
        metavar="A-B",
        help="fewest and most actions in a clip; default 1-2",
    )
    add(
        "--action-frames",
        type=number_range,
        default=(4, 8),
        metavar="A-B",
        help="fewest and most frames of an action; default 4-8",
    )
    add("--unaligned", action="store_true", help="actions begin at any frame, not only where latents do")
    add(
        "--decoy",
        choices=("none", "gaps", "always", "mixed"),
        default="none",
        help="a hand that hovers without acting: none; in the gaps between actions; always, whatever the "
        "actions are, so that only the text tells when they happen; mixed: always in half of the clips, none "
        "in the others. Default none",
    )
    add(
        "--unpaired",
        choices=("none", "test", "all"),
        default="test",
        help="clips that are drawn in another garment, too; default those of the test split",
    )
    add("--seed", type=int, default=0, help="default 0")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())

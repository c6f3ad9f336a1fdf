"""The tables of the comparison, beside its strips."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results_files import strip_line, write_results
from benchmarks.tables import machine_words, pooled_cell, table
from benchmarks.targets import target_table
from benchmarks.tryon.arms import MAIN
from benchmarks.tryon.differences import difference_table
from benchmarks.tryon.settings import CONDITIONS, Settings
from benchmarks.tryon.targets import targets
from vision.metrics.perceptual import PERCEPTUAL_NAME
from vision.metrics.video_features import FRECHET_VIDEO_NAME
from vision.tryon.drawing.actions import ACTIONS
from vision.tryon.evaluation.makers import FLOOR

TIMING = {
    "iou": ("temporal IoU", 2),
    "hit": ("hit", 2),
    "seen": ("seen", 2),
    "boundary": ("boundary error, frames", 2),
    "leakage": ("leakage", 3),
    "moved_iou": ("IoU, command moved", 2),
    "follows": ("follows the move", 2),
}
PICTURES = {
    "ssim_inside": ("SSIM inside", 3),
    "ssim_outside": ("SSIM outside", 3),
    "perceptual": ("perceptual", 3),
    "frechet": ("Fréchet", 2),
    "nearest": ("nearest of 20", 2),
}
_SUMMARISED = ("iou", "leakage", "moved_iou")
_KINDS = {"paired": "the garment that is worn", "unpaired": "another garment"}


@dataclass(frozen=True)
class Row:
    """One line of the tables.

    Attributes:
        name: short, for files; one a row.
        label: what the tables say.
        runs: the measures of each seed, see :meth:`benchmarks.tryon.evaluating.Evaluation.tryon`.
        strips: pictures of the first seed's clips, by kind of clips.
        teacher: name of the row that it is a student of.
        model: folder of the first seed's try-on.
    """

    name: str
    label: str
    runs: list[dict[str, Any]]
    strips: Mapping[str, Path]
    teacher: str | None = None
    model: Path | None = None

    def measures(self, condition: str) -> list[dict[str, Any]]:
        """What each seed found on a kind of clips; empty where it was not measured there."""
        return [run["sets"][condition] for run in self.runs if condition in run["sets"]]


def write_report(
    rows: list[Row], references: list[Row], settings: Settings, out: Path, command: str, *, judged: bool
) -> str:
    """Writes results.md, results.json and strips.

    Args:
        rows: arms or models.
        references: ceilings and floor, for the tables alone.
        settings: how much was measured.
        out: folder of all this.
        command: how it was asked for.
        judged: with the tables of targets.

    Returns:
        The text of results.md.
    """
    out.mkdir(parents=True, exist_ok=True)
    lines = ["# Try-ons against the studio", "", f"`{command}`", "", _preface(rows, settings, judged), ""]
    if settings.quick:
        lines += ["**A quick run: it shows that all parts work, its figures say nothing about quality.**", ""]
    if judged:
        lines += _targets(rows, references)
    for condition, words in CONDITIONS.items():
        shown = [row for row in (*rows, *references) if row.measures(condition)]
        if shown:
            lines += [f"## {words[:1].upper()}{words[1:]}", "", *_condition(shown, condition)]
            lines += difference_table(
                [row for row in rows if row.measures(condition)], MAIN[condition], condition
            )
    lines += [*_cost(rows), "## Strips", ""]
    for row in rows:
        for condition, path in row.strips.items():
            words = f"{row.label}, {condition}: what was wanted above what was made"
            lines += strip_line(path, f"{row.name} {condition}", words, out)
    measures = {row.name: {"label": row.label, "runs": row.runs} for row in (*rows, *references)}
    return write_results(out, lines, [_summary(row) for row in rows], measures)


def _preface(rows: list[Row], settings: Settings, judged: bool) -> str:
    seeds = max(len(row.runs) for row in rows)
    errors = f"mean ± standard error over {seeds} seeds" if seeds > 1 else "value ± standard error over clips"
    clips = f"{settings.train_clips} clips of their kind"
    trained = "" if judged else f"All arms and seeds go on from one network, on {clips}. "
    return (
        f"{trained}Measured on {settings.clips} clips of each kind, of people, garments and prints that no "
        f"training shows; {errors}. What each measure is: docs/tryon.md, section Evaluation. Perceptual: "
        f"{PERCEPTUAL_NAME}. Fréchet: {FRECHET_VIDEO_NAME}; empty with too few clips. Machine: "
        f"{machine_words()}."
    )


def _condition(rows: list[Row], condition: str) -> list[str]:
    def cells(row: Row, path: Callable[[dict[str, Any]], dict[str, Any] | None], digits: int) -> str:
        return pooled_cell([path(found) for found in row.measures(condition)], digits)

    head = [title for title, _ in TIMING.values()]
    body = [
        [
            row.label,
            *(cells(row, lambda m, n=name: m["timing"][n], digits) for name, (_, digits) in TIMING.items()),
            cells(row, lambda m: m.get("attention", {}).get("mass"), 2),
            cells(row, lambda m: m.get("attention", {}).get("chance"), 2),
        ]
        for row in rows
    ]
    lines = table("When", [*head, "attention", "by chance"], body)
    body = [
        [row.label, *(cells(row, lambda m, n=name: m["timing"]["actions"].get(n), 2) for name in ACTIONS)]
        for row in rows
    ]
    lines += table("Temporal IoU of each action", list(ACTIONS), body)
    left_out = rows[0].measures(condition)[0]["timing"]["left_out"]
    lines += [f"Actions left out, since nobody sees them in the true clip: {left_out}.", ""]
    for kind, words in _KINDS.items():
        body = [
            [
                row.label,
                *(
                    cells(row, lambda m, k=kind, n=name: m[k][n], digits)
                    for name, (_, digits) in PICTURES.items()
                ),
            ]
            for row in rows
        ]
        lines += table(f"Pictures, {words}", [title for title, _ in PICTURES.values()], body)
    return lines


def _cost(rows: list[Row]) -> list[str]:
    body = []
    for row in rows:
        facts = row.runs[0]["facts"]
        seconds = [run["training"]["seconds"] for run in row.runs if "training" in run]
        minutes = f"{min(seconds) / 60:.1f}" if seconds else ""
        cells = [f"{facts['parameters']:,}", str(facts["steps"]), str(facts["guidance"]), minutes]
        body.append([f"{row.label} ({row.name})", *cells])
    return ["## Cost", "", *table("Models", ["parameters", "steps", "guidance", "minutes of training"], body)]


def _targets(rows: list[Row], references: list[Row]) -> list[str]:
    lines = ["## Targets", ""]
    by_name = {row.name: row.runs[0] for row in (*rows, *references)}
    for row in rows:
        teacher = by_name[row.teacher] if row.teacher else None
        lines += target_table(row.label, targets(row.runs[0], by_name[FLOOR], teacher))
    return lines


def _summary(row: Row) -> dict[str, Any]:
    """What a model card says of the first seed's try-on."""
    told: dict[str, Mapping[str, Any]] = {}
    for condition, found in row.runs[0]["sets"].items():
        told |= {f"{TIMING[name][0]}, {condition}": found["timing"][name] for name in _SUMMARISED}
    pictures = next(iter(row.runs[0]["sets"].values()))
    for kind in _KINDS:
        told |= {f"{title}, {kind}": pictures[kind][name] for name, (title, _) in PICTURES.items()}
    shown = {
        name: "none" if facts["value"] is None else f"{facts['value']:.3f}" for name, facts in told.items()
    }
    return {"label": row.label, "model": str(row.model), **shown}

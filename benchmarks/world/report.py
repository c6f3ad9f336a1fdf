"""The tables of the comparison, beside its figures and strips."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results_files import strip_line, write_results
from benchmarks.tables import machine_words, pooled_cell, table
from benchmarks.targets import target_table
from benchmarks.world.figures import draw_drift, draw_gain_leakage, draw_response_curves
from benchmarks.world.settings import UNSEEN, Settings
from benchmarks.world.targets import targets
from vision.world.gamepad import BUTTONS, STICKS

MEASURES = {
    "gain": ("Response gain (1 is the engine's)", 2),
    "leakage": ("Leakage (0 is best)", 3),
    "localisation": ("Localisation, area under precision and recall", 2),
    "onset_error": ("Onset error in frames", 2),
    "pre_onset_energy": ("Pre-onset energy (0 for a world that makes latent frames in turn)", 3),
    "own_truth": ("Own-truth accuracy (0.5 ignores the button)", 2),
    "psnr_outside": ("PSNR outside the response, dB", 1),
}
#: On other splits than the unseen maps.
_ALSO = ("gain", "leakage")
_SPLITS = {"train": "train maps", "test": "unseen maps", "test_freedoom1": "Freedoom 1"}
_HELD = {"fire": "fire tapped", "fire held": "fire held", "aim tapped": "aim tapped", "aim": "aim held"}


@dataclass(frozen=True)
class Row:
    """One line of the tables.

    Attributes:
        name: short, for files; one a row.
        label: what the tables say.
        runs: the measures of each seed, see :meth:`benchmarks.world.evaluating.Evaluation.world`.
        strip: picture of the first seed's responses.
        teacher: name of the row that it is a student of.
        model: folder of the first seed's world.
    """

    name: str
    label: str
    runs: list[dict[str, Any]]
    strip: Path | None
    teacher: str | None = None
    model: Path | None = None


def write_report(
    rows: list[Row], references: list[Row], settings: Settings, out: Path, command: str, *, judged: bool
) -> str:
    """Writes results.md, results.json, gain_leakage.png, response_curves.png, drift.png and strips.

    Args:
        rows: arms or models.
        references: ceiling and floor, for the tables alone.
        settings: how much was measured.
        out: folder of all this.
        command: how it was asked for.
        judged: with the table of targets.

    Returns:
        The text of results.md.
    """
    out.mkdir(parents=True, exist_ok=True)
    every = [*rows, *references]
    lines = ["# Worlds against the engine", "", f"`{command}`", "", _preface(rows, settings), ""]
    if judged:
        lines += _targets(rows)
    for split in (UNSEEN, *(split for split in settings.splits if split != UNSEEN)):
        lines += [f"## On {_SPLITS[split]}", ""]
        lines += _sticks(every, split)
        for measure in MEASURES if split == UNSEEN else _ALSO:
            lines += _presses(every, split, measure)
        lines += _left_out(every[0], split)
    lines += [*_quality(every, settings), *_tapped(every), *_sweep(rows), *_drift(rows), *_cost(rows)]
    figures = {
        "Gain and leakage by scale of guidance": (draw_gain_leakage, "gain_leakage.png"),
        "Responses by frame, first seed": (draw_response_curves, "response_curves.png"),
        "Drift, first seed": (draw_drift, "drift.png"),
    }
    lines += ["## Pictures", ""]
    for title, (draw, name) in figures.items():
        if draw(rows, out / name):
            lines.append(f"![{title}]({name})")
    for row in rows:
        words = f"{row.label}: engine, world and their responses"
        lines += strip_line(row.strip, row.name, words, out)
    measures = {row.name: {"label": row.label, "runs": row.runs} for row in every}
    return write_results(out, lines, [_summary(row) for row in rows], measures)


def _summary(row: Row) -> dict[str, Any]:
    """What a model card says of the first seed's world, measured on the unseen maps."""
    found = {target.name: target.value for target in targets(row.runs[0])}
    shown = {name: "none" if value is None else f"{value:.3f}" for name, value in found.items()}
    return {"label": row.label, "model": str(row.model), **shown}


def _preface(rows: list[Row], settings: Settings) -> str:
    seeds = max(len(row.runs) for row in rows)
    errors = (
        f"mean ± standard error over {seeds} seeds" if seeds > 1 else "value ± standard error over the starts"
    )
    return (
        f"{settings.starts} starts of pairs and {settings.stick_starts} of held sticks a split, clips of "
        f"{settings.frames} frames; {errors}. What each measure is: docs/world.md, section Evaluation. "
        f"Machine: {machine_words()}."
    )


def _cell(row: Row, path: Callable[[dict[str, Any]], dict[str, Any] | None], digits: int) -> str:
    return pooled_cell([path(run) for run in row.runs], digits)


def _sticks(rows: list[Row], split: str) -> list[str]:
    def cell(row: Row, stick: str, measure: str) -> str:
        return _cell(row, lambda run: run["splits"][split]["sticks"][stick][measure], 2)

    head = [f"sign {stick}" for stick in STICKS] + [f"gain {stick}" for stick in STICKS]
    body = [
        [row.label, *(cell(row, stick, measure) for measure in ("sign", "gain") for stick in STICKS)]
        for row in rows
    ]
    return table("Sticks", head, body)


def _presses(rows: list[Row], split: str, measure: str) -> list[str]:
    title, digits = MEASURES[measure]

    def cell(row: Row, name: str) -> str:
        return _cell(row, lambda run: run["splits"][split]["presses"][name].get(measure), digits)

    body = [[row.label, *(cell(row, name) for name in BUTTONS)] for row in rows]
    if measure == "localisation":
        chances = (rows[0].runs[0]["splits"][split]["presses"][name].get("chance") for name in BUTTONS)
        body.append(["by chance", *("" if chance is None else f"{chance:.2f}" for chance in chances)])
    return table(title, list(BUTTONS), body)


def _left_out(row: Row, split: str) -> list[str]:
    found = row.runs[0]["splits"][split]
    told = [f"{name} {found['presses'][name]['left_out']}" for name in BUTTONS]
    told += [f"{stick} {found['sticks'][stick]['left_out']} clips" for stick in STICKS]
    return [f"Left out, since the engine itself shows nothing there: {', '.join(told)}.", ""]


def _quality(rows: list[Row], settings: Settings) -> list[str]:
    def cell(row: Row, split: str) -> str:
        return _cell(row, lambda run: run["splits"][split]["presses"]["psnr"], 1)

    body = [[row.label, *(cell(row, split) for split in settings.splits)] for row in rows]
    head = [_SPLITS[split] for split in settings.splits]
    return ["## All splits", "", *table("PSNR of clips without a press, dB", head, body)]


def _tapped(rows: list[Row]) -> list[str]:
    def cell(row: Row, name: str) -> str:
        return _cell(row, lambda run: run["splits"][UNSEEN]["presses"][name].get("gain"), 2)

    body = [[row.label, *(cell(row, name) for name in _HELD)] for row in rows]
    return table(
        "Gain of a tap (2 rows) and of a hold (16, or to the end), unseen maps", [*_HELD.values()], body
    )


def _sweep(rows: list[Row]) -> list[str]:
    body = []
    for row in rows:
        for scale in row.runs[0]["sweep"]:
            cells = [
                " / ".join(
                    _cell(row, lambda run, m=m, n=name, s=scale: run["sweep"][s][n].get(m), digits).split(
                        " ±"
                    )[0]
                    for m, digits in (("gain", 2), ("leakage", 3))
                )
                for name in BUTTONS
            ]
            body.append([f"{row.label}, scale {scale}", *cells])
    return (
        table("Gain / leakage by scale of action guidance, unseen maps", list(BUTTONS), body) if body else []
    )


def _drift(rows: list[Row]) -> list[str]:
    body = []
    for row in rows:
        drift = row.runs[0]["drift"]
        if not drift:
            continue
        for place in drift["bins"][:: max(1, len(drift["bins"]) - 1)]:  # the first and the last
            cells = [
                f"{place[key]:.3g}" for key in ("distance", "recorded_distance", "saturated", "sharpness")
            ]
            body.append([f"{row.label}, frames {place['first']} to {place['last']}", *cells])
    if not body:
        return []
    head = ["distance", "recorded frames' distance", "saturated", "sharpness"]
    turns = [
        [row.label, *(f"{value:.3g}" for value in row.runs[0]["drift"]["turning"].values())]
        for row in rows
        if row.runs[0]["drift"]
    ]
    turn_head = ["from frame", "sign", "difference", "engine's sign", "engine's difference"]
    return [
        *table("Drift of a stream (first seed)", head, body),
        *table("The right stick held to either side, late in a stream (first seed)", turn_head, turns),
    ]


def _cost(rows: list[Row]) -> list[str]:
    body = []
    for row in rows:
        facts = row.runs[0]["facts"]
        seconds = [run["training"]["seconds"] for run in row.runs if "training" in run]
        minutes = f"{min(seconds) / 60:.1f}" if seconds else ""
        body.append(
            [row.label, f"{facts['parameters']:,}", str(facts["steps"]), str(facts["guidance"]), minutes]
        )
    return [
        "## Cost",
        "",
        *table("Models", ["parameters", "steps", "guidance", "minutes of training"], body),
    ]


def _targets(rows: list[Row]) -> list[str]:
    lines = ["## Targets, on unseen maps", ""]
    by_name = {row.name: row.runs[0] for row in rows}
    for row in rows:
        found = targets(row.runs[0], by_name[row.teacher] if row.teacher else None)
        lines += target_table(row.label, found)
    return lines

"""health.json and health.png of a run, and the reference that its previews are compared to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from train.checkpoint import step_name
from train.health import CLIPPED, PREVIEW, Health, Reference, examine, fake_losses, gaps
from train.previews import Pictures
from train.processes import say
from train.run_folder import RunFolder
from vision.media import curves_of, plot_panels
from vision.whole_file import written_aside

_PREVIEWS = "previews (dashed: the teacher's)"


class HealthFiles:
    """Writes a run's health beside its curves; on the main process only.

    Args:
        run: where the files are.
        records: the log as it is when the run begins or goes on; what it gives rise to has been said.
        step: iterations done before; a run that begins takes over nothing.

    Raises:
        ValueError: health.json is there and broken.
    """

    def __init__(self, run: RunFolder, records: Sequence[Mapping[str, Any]], step: int) -> None:
        self._run = run
        saved = _read(run.health).get("reference") if step else None
        self._about: Any = saved["about"] if saved else None
        self._since: int = saved["since"] if saved else 0
        self._reference = Reference(saved["means"], saved["errors"]) if saved else None
        self._said = set(self._examine(records).notes)

    def has_reference(self, about: Mapping[str, Any]) -> bool:
        """Whether the run's folder holds a reference of what ``about`` says."""
        return self._about == about and self._run.reference.is_file()

    def set_reference(self, pictures: Pictures, about: Mapping[str, Any], step: int) -> None:
        """Takes pictures for the reference, of the previews after ``step`` if it is of something else now."""
        if about != self._about:
            self._about, self._since = about, step
        self._reference = Reference.of(pictures)

    def refresh(self, records: Sequence[Mapping[str, Any]], draw: bool) -> None:
        """Writes health.json and says what is new; draws health.png then, or where ``draw`` is set."""
        health = self._examine(records)
        new = [name for name in health.notes if name not in self._said]
        for name in new:
            kept = self._run.checkpoints / step_name(health.last_good or 0)
            hint = f" ({kept} is still there)" if name == "previews" and kept.is_dir() else ""
            say(f"health: {health.notes[name]}{hint}")
        self._said = set(health.notes)
        self._write(records, health)
        if draw or new:
            self._draw(records, health)

    def _examine(self, records: Sequence[Mapping[str, Any]]) -> Health:
        return examine(records, self._reference, self._since)

    def _write(self, records: Sequence[Mapping[str, Any]], health: Health) -> None:
        described: dict[str, Any] = {"step": records[-1]["step"] if records else 0, **asdict(health)}
        if self._reference is not None:
            described["reference"] = {"about": self._about, "since": self._since, **asdict(self._reference)}
        with written_aside(self._run.health) as aside:
            aside.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")

    def _draw(self, records: Sequence[Mapping[str, Any]], health: Health) -> None:
        """Draws what there is; a method without a fake score has fewer panels."""
        curves = curves_of(records)
        panels = {
            "fake score: loss": fake_losses(curves),
            "gap between real and fake score": gaps(curves),
            "share of updates with a clipped gradient": _starting(CLIPPED, curves),
            _PREVIEWS: _starting(PREVIEW, curves),
        }
        panels = {title: panel for title, panel in panels.items() if panel}
        if panels:
            means = self._reference.means if self._reference else {}
            plot_panels(
                panels,
                self._run.health_panel,
                columns=2,
                levels={_PREVIEWS: {f"{PREVIEW}{name}": mean for name, mean in means.items()}},
                caption="\n".join(health.notes.values()),
            )


def _starting(prefix: str, curves: Mapping[str, Any]) -> dict[str, Any]:
    return {name: curve for name, curve in curves.items() if name.startswith(prefix)}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); remove it, and it is made anew") from None

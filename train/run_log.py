"""log.jsonl: one record a line, cut back when a run is resumed."""

import json
import os
from pathlib import Path


class RunLog:
    """Appends records and reads them back.

    Args:
        path: the file.
        step: records of later steps are removed, as is a line that a killed run left torn.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.records = [record for record in _read(path) if record["step"] <= step]
        self._rewrite()

    def append(self, record: dict) -> None:
        """Adds a record; it has a ``step``, and joins the last record where that is of the same step."""
        if self.records and self.records[-1]["step"] == record["step"]:
            self.records[-1] |= record
            self._rewrite()
            return
        self.records.append(record)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _rewrite(self) -> None:
        aside = self.path.with_name(self.path.name + ".new")
        aside.write_text("".join(json.dumps(record) + "\n" for record in self.records), encoding="utf-8")
        os.replace(aside, self.path)


def _read(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]

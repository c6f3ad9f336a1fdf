"""What made each file of a folder of cleared pictures: one JSON object a line, which a later run reads."""

import json
from pathlib import Path
from typing import Any

from infer.dehaze_files import Source
from infer.model_hash import file_hash
from vision.whole_file import written_aside

FILE = "dehaze.jsonl"


class DehazeLedger:
    """The records of an output folder. The last line about a file counts.

    A file is made when its record names the same settings and the hashes of what it was made from and of what
    is there. Records are written after their files, so that a job killed at any moment goes on.

    Args:
        folder: the output folder.
        settings: those of this job.

    Raises:
        ValueError: an edited ledger.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.path, self.settings = folder / FILE, settings
        self.records: dict[str, dict[str, Any]] = {}
        if not self.path.is_file():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                self.records[record["file"]] = record
                _ = record["settings"], record["source"], record["sha256"]
            except (ValueError, TypeError, KeyError) as error:
                if number == len(lines) and isinstance(error, json.JSONDecodeError):
                    continue  # a job was killed while it wrote the line
                raise ValueError(
                    f"line {number} of {self.path} is no record ({error!r}); restore it, or remove it "
                    "with the files that it tells of"
                ) from error
        self._rewrite()

    def is_made(self, source: Source, overwrite: bool) -> bool:
        """Whether a source needs no more work.

        Raises:
            ValueError: its result is there, made with other settings or by nobody knows what, and is not to
                be overwritten.
        """
        record = self.records.get(source.name)
        if record is None:
            if source.target.exists() and not overwrite:
                raise ValueError(
                    f"{source.target} is there, and {FILE} does not say what made it; move it away, or give "
                    "--overwrite"
                )
            return False
        found = record["settings"]
        differences = [
            f"{name} {found.get(name)!r} (now {self.settings.get(name)!r})"
            for name in sorted(found.keys() | self.settings.keys())
            if found.get(name) != self.settings.get(name)
        ]
        if differences and not overwrite:
            raise ValueError(
                f"{source.target} was made with {', '.join(differences)}; choose another --output, give the "
                "settings that made it, or --overwrite"
            )
        return (
            not differences
            and source.target.is_file()
            and file_hash(source.path) == record["source"]
            and file_hash(source.target) == record["sha256"]
        )

    def add(self, source: Source, facts: dict[str, Any]) -> None:
        """Records a file that has just been made, with ``facts`` about it."""
        record = {
            "file": source.name,
            **facts,
            "source": file_hash(source.path),
            "sha256": file_hash(source.target),
            "settings": self.settings,
        }
        self.records[source.name] = record
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _rewrite(self) -> None:
        """Leaves one whole line a file, so that what is appended begins a line."""
        with written_aside(self.path) as aside:
            lines = "".join(json.dumps(record) + "\n" for record in self.records.values())
            aside.write_text(lines, encoding="utf-8")

"""What made each picture of a folder: one JSON object a line, which a later run reads to go on."""

import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from infer.model_hash import file_hash
from infer.pictures import Picture
from vision.media import write_image, write_video

#: Fields that may differ between the records of a folder; the others are the job's settings. Where a model
#: lay does not matter, its hash does.
_FREE_FIELDS = frozenset(
    (
        *("file", "sha256", "video", "video_sha256", "prompt", "occurrence", "picture", "noise_seed"),
        *("software", "model", "lora"),
    )
)


class Ledger:
    """The folder of a batch job: pictures, ``pictures.jsonl``, and one part of it a process while it runs.

    A picture counts as made when its record is there and its files have the recorded hashes. Files appear
    whole or not at all, and a picture before its record, so that a job killed at any moment goes on.

    Args:
        folder: the output folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "pictures.jsonl"
        self._lock: int | None = None

    def open(self, settings: Mapping[str, Any]) -> None:
        """Makes and locks the folder, and takes in what a stopped job left.

        Args:
            settings: what, besides prompt and number, a picture of this job depends on.

        Raises:
            ValueError: another job runs in the folder, or it holds pictures made with other settings.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another job is writing to {self.folder}; wait for it or choose another --out"
            ) from None
        for record in self.records().values():
            names = sorted((record.keys() | settings.keys()) - _FREE_FIELDS)
            differences = [
                f"{name} {record.get(name)!r} (now {settings.get(name)!r})"
                for name in names
                if record.get(name) != settings.get(name)
            ]
            if differences:
                raise ValueError(
                    f"{self.folder} holds pictures made with {', '.join(differences)}; choose another --out, "
                    "or give the settings that made them"
                )
        for leftover in (*self.folder.glob(".*.png"), *self.folder.glob(".*.mp4")):
            leftover.unlink()
        self._collect([])

    def made(self, pictures: Iterable[Picture]) -> set[Picture]:
        """Those of the pictures whose file is there, whole."""
        records = self.records()
        return {picture for picture in pictures if self._is_whole(records.get(picture))}

    def add(
        self,
        picture: Picture,
        image: Image.Image,
        record: Mapping[str, Any],
        rank: int,
        video: Tensor | None = None,
    ) -> None:
        """Writes one picture, or a video and its first frame, and then the record.

        Args:
            picture: which.
            image: what was drawn.
            record: seed of its noise, settings and software.
            rank: number of this process; each writes its own part of the ledger.
            video: uint8 of shape (C, F, H, W), F frames of C channels, at the record's ``frame_rate``.
        """
        path = self.folder / picture.file
        write_image(image, path)
        moving = {}
        if video is not None:
            write_video(video, self.folder / picture.video_file, record["frame_rate"])
            digest = file_hash(self.folder / picture.video_file)
            moving = {"video": picture.video_file, "video_sha256": digest}
        line = {
            "file": picture.file,
            "sha256": file_hash(path),
            **moving,
            "prompt": picture.prompt,
            "occurrence": picture.occurrence,
            "picture": picture.number,
            **record,
        }
        with (self.folder / f".pictures.{rank}.jsonl").open("a", encoding="utf-8") as part:
            part.write(json.dumps(line, ensure_ascii=False) + "\n")

    def close(self, order: Sequence[Picture]) -> None:
        """Joins the parts of all processes into ``pictures.jsonl``, in this order, and unlocks the folder."""
        self._collect(order)
        self.unlock()

    def unlock(self) -> None:
        """Lets another job use the folder; without :meth:`close`, it takes in the parts."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def records(self) -> dict[Picture, dict[str, Any]]:
        """The records of all pictures, also of those that a stopped job left in its parts."""
        records = {}
        for path in [self.path, *self._parts()]:
            # What follows the last line feed was being written when the job was killed.
            lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
            for number, line in enumerate(lines, start=1):
                try:
                    record = json.loads(line)
                    picture = Picture(record["prompt"], record["occurrence"], record["picture"])
                except (ValueError, KeyError, TypeError):
                    raise ValueError(
                        f"line {number} of {path} is not a picture's record; put it back, remove the line "
                        "(its picture is made again), or choose another --out"
                    ) from None
                records[picture] = record
        return records

    def _is_whole(self, record: Mapping[str, Any] | None) -> bool:
        if record is None:
            return False
        parts = [(record["file"], record["sha256"])]
        if "video" in record:
            parts.append((record["video"], record["video_sha256"]))
        return all(
            (self.folder / name).is_file() and file_hash(self.folder / name) == digest
            for name, digest in parts
        )

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob(".pictures.*.jsonl"))

    def _collect(self, order: Sequence[Picture]) -> None:
        records = self.records()
        if not records:
            return
        names = {picture: i for i, picture in enumerate(order)}
        lines = [
            json.dumps(record, ensure_ascii=False) + "\n"
            for _, record in sorted(records.items(), key=lambda item: names.get(item[0], len(names)))
        ]
        aside = self.folder / ".pictures.jsonl"
        aside.write_text("".join(lines), encoding="utf-8")
        os.replace(aside, self.path)
        for part in self._parts():
            part.unlink()

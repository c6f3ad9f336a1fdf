"""Where infer.tryon writes the video of a sample."""

from pathlib import Path

from vision.tryon.index import SampleRecord


def video_file(folder: Path, record: SampleRecord) -> Path:
    """The mp4 of a sample in the folder of a job; ids may have slashes."""
    return folder / f"{record.id.replace('/', '-')}.mp4"

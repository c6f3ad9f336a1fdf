"""Which files infer.dehaze reads, and where it writes them."""

from dataclasses import dataclass
from pathlib import Path

from vision.media.image import READABLE_SUFFIXES
from vision.media.photograph import Photograph, read_photograph
from vision.media.video import VIDEO_SUFFIXES, read_frames

#: Pictures before and after, in the output folder.
SHEET_NAME = "before_after.png"


@dataclass(frozen=True)
class Source:
    """A file to be cleared.

    Attributes:
        path: where it is.
        name: its path in the input folder, and so in the output folder.
        target: where the result goes.
    """

    path: Path
    name: str
    target: Path

    @property
    def is_video(self) -> bool:
        return self.path.suffix.lower() in VIDEO_SUFFIXES


def first_picture(path: Path) -> Photograph:
    """A picture, or the first frame of a video.

    Raises:
        UnreadableImageError, UnreadableVideoError: it cannot be read.
    """
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return read_photograph(path)
    return Photograph(next(read_frames(path)), None, "PNG")


def find_sources(input: Path, output: Path, sheet: bool = True) -> tuple[list[Source], list[Path]]:
    """The pictures and videos of a folder in order of their names, and its other files; hidden ones aside.

    Pictures and videos of formats that are not written here are among the first.

    Args:
        input: a file or a folder.
        output: folder of the results.
        sheet: whether :data:`SHEET_NAME` will lie there.

    Raises:
        ValueError: no such file or folder, nothing to clear in it, an output that is or lies in the
            input folder, or a picture that is called as the sheet.
    """
    if not input.exists():
        raise ValueError(f"{input} does not exist; give a picture, a video or a folder of them")
    folder = input if input.is_dir() else input.parent
    inside, outside = folder.resolve(), output.resolve()
    if outside == inside:
        raise ValueError(
            f"the output folder {output} is the input folder, whose pictures it would replace; choose another"
        )
    if input.is_dir() and inside in outside.parents:
        raise ValueError(
            f"the output folder {output} lies in the input folder, where the next run would clear it again; "
            "choose one outside"
        )
    if output.exists() and not output.is_dir():
        raise ValueError(f"the output {output} is a file; give a folder")
    files = [input] if input.is_file() else sorted(path for path in input.rglob("*") if path.is_file())
    files = [
        path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    known = READABLE_SUFFIXES | VIDEO_SUFFIXES
    sources = [
        Source(path, path.relative_to(folder).as_posix(), output / path.relative_to(folder))
        for path in files
        if path.suffix.lower() in known
    ]
    if sheet and any(source.name == SHEET_NAME for source in sources):
        raise ValueError(
            f"{folder / SHEET_NAME} is called as the sheet of the results, which would replace what is made "
            "of it; rename it, or give --sheet 0"
        )
    if not sources:
        raise ValueError(
            f"{input} holds no picture or video; found none that ends in {', '.join(sorted(known))}"
        )
    return sources, [path for path in files if path.suffix.lower() not in known]

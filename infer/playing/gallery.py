"""The pictures that a player can begin with."""

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from infer.world_model import fitted, read_first_frame
from vision import WorldPipeline
from vision.media import decode_image, image_size
from vision.world.crossfps import VIDEO_NAME

#: Bytes and pixels of an uploaded file.
MAX_BYTES, MAX_PIXELS = 8 * 2**20, 4096 * 4096
# Pictures shown to choose from, and those of players among them.
_MOST_FILES, _MOST_UPLOADS = 24, 16
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".mp4")
#: Where a model brings pictures of its own.
EXAMPLES = "examples"


@dataclass(frozen=True)
class FirstFrame:
    """A picture by name, of the size that the world takes, and as a PNG."""

    name: str
    picture: Image.Image
    png: bytes


class Gallery:
    """First frames by their ids: those of files, and those that players bring.

    Args:
        pipeline: the world, whose size they are cut and scaled to.
        files: pictures, or .mp4 whose first frame counts.
    """

    def __init__(self, pipeline: WorldPipeline, files: Iterable[Path]) -> None:
        self._pipeline = pipeline
        self._frames: dict[str, FirstFrame] = {}
        self._uploads: list[str] = []
        self._uploaded = 0
        for number, path in enumerate(files):
            # All clips of a data set have the same names of files.
            name = path.parent.name if path.name == VIDEO_NAME else path.stem
            self._frames[f"file-{number}"] = _first_frame(name, fitted(read_first_frame(path), pipeline))

    def names(self) -> list[dict[str, str]]:
        """Id and name of each, in order."""
        return [{"id": key, "name": frame.name} for key, frame in self._frames.items()]

    def get(self, key: str) -> FirstFrame | None:
        """The first frame with an id, or None."""
        return self._frames.get(key)

    def fit(self, content: bytes, name: str) -> tuple[FirstFrame, str]:
        """A player's file as a first frame.

        Args:
            content: of the file.
            name: to show.

        Returns:
            It, and what had to be done to the picture, "" for nothing.

        Raises:
            ValueError: not a picture, a damaged one, or one with too many pixels.
        """
        found = image_size(content, name)
        if found[0] * found[1] > MAX_PIXELS:
            raise ValueError(
                f"{name} is {found[0]} x {found[1]} (height x width), expected at most {MAX_PIXELS:,} "
                "pixels; scale it down"
            )
        with Image.open(BytesIO(content)) as opened:
            mode = opened.mode
        frame = _first_frame(name, fitted(decode_image(content, name), self._pipeline))
        notes, size = [], (frame.picture.height, frame.picture.width)
        if found != size:
            notes.append(
                f"is {found[0]} x {found[1]} (height x width), this world {size[0]} x {size[1]}: it was "
                "scaled and cut"
            )
        if mode != "RGB":
            notes.append(f"has the mode {mode}, expected RGB: it was converted, transparency to white")
        return frame, f"{name} {'; it '.join(notes)}" if notes else ""

    def add(self, frame: FirstFrame) -> str:
        """Keeps a player's first frame; of many, the oldest are forgotten. Returns its id."""
        key = f"upload-{self._uploaded}"
        self._uploaded += 1
        self._frames[key] = frame
        self._uploads.append(key)
        if len(self._uploads) > _MOST_UPLOADS:
            del self._frames[self._uploads.pop(0)]
        return key


def first_frame_files(given: Iterable[Path], model: str) -> list[Path]:
    """The files of first frames: those given and in given folders, or else the model's own examples.

    Raises:
        ValueError: a path that is not there, a folder without pictures.
    """
    paths = list(given)
    examples = Path(model) / EXAMPLES
    if not paths and examples.is_dir():
        paths = [examples]
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = sorted(found for found in path.rglob("*") if found.suffix.lower() in _SUFFIXES)
            if not below:
                raise ValueError(
                    f"{path} holds no first frames; expected files that end with {', '.join(_SUFFIXES)}"
                )
            files += below
        elif path.is_file():
            files.append(path)
        else:
            raise ValueError(f"{path} does not exist; give pictures, .mp4 files, or folders of them")
    if len(files) > _MOST_FILES:
        print(f"first frames: the first {_MOST_FILES} of {len(files)} files are shown")
    return files[:_MOST_FILES]


def _first_frame(name: str, picture: Image.Image) -> FirstFrame:
    file = BytesIO()
    picture.save(file, "PNG")
    return FirstFrame(name, picture, file.getvalue())

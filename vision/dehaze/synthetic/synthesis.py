"""Writes pairs with synthetic haze, in RESIDE's layout.

    DIR/train/hazy/ID_grey_0.png     DIR/train/clear/ID.png     DIR/train/truth/ID_grey_0.safetensors

Truth holds ``transmission`` (1, H, W) and ``airlight`` (3, 1, 1) or (3, H, W), and the numbers drawn.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from vision.dehaze.synthetic.domain import domain
from vision.dehaze.synthetic.hazing import add_haze
from vision.dehaze.synthetic.hazy_sample import HazySample
from vision.dehaze.synthetic.scene import Scene
from vision.latents.identity import hash_json, hash_tensors, named_generator
from vision.latents.tensor_file import DamagedFileError, read_tensors, write_tensors
from vision.media import to_image, write_image

#: Raised whenever the same seed would draw another haze.
CODE_VERSION = 1


@dataclass(frozen=True)
class SampleFiles:
    """Where one pair and its truth lie."""

    hazy: Path
    clear: Path
    truth: Path


@dataclass
class Written:
    """What a run did.

    Attributes:
        made: pairs written.
        kept: pairs that were there.
        bad: a line on each scene that could not be read.
        shown: for the contact sheet, the files of each scene's first hazes by their domain.
    """

    made: int
    kept: int
    bad: list[str]
    shown: list[dict[str, SampleFiles]]


def write_pairs(
    scenes: Iterable[Callable[[], Scene]],
    out: Path,
    domains: Sequence[str],
    variants: int = 1,
    test_share: float = 0.0,
    seed: int = 0,
    overwrite: bool = False,
) -> Written:
    """Writes each scene under each kind of haze, except what is there already.

    A pair is a function of the seed, the scene, the kind of haze and its number alone; all pairs of a scene
    go to one split. A scene that cannot be read is named in the result, and the rest is done.

    Args:
        scenes: each reads one scene; a ValueError of it is noted.
        out: folder of the data set.
        domains: names of :data:`vision.dehaze.synthetic.domain.DOMAINS`.
        variants: hazes of each kind for a scene.
        test_share: share of the scenes that go to ``test`` instead of ``train``, in [0, 1].
        seed: of all draws.
        overwrite: write anew what was made of other scenes or with other settings.

    Raises:
        ValueError: no scene can be read, two scenes have one name, or a file that is there was made of
            another scene or with other settings.
    """
    kinds = {name: domain(name) for name in domains}
    written, names = Written(0, 0, [], []), set()
    for read in scenes:
        try:
            scene = read()
        except ValueError as error:
            written.bad.append(str(error))
            continue
        identity = scene_id(scene.name)
        if identity in names:
            raise ValueError(f"two scenes would be called {identity}; rename one of their files")
        names.add(identity)
        content = hash_tensors({"clear": scene.clear, "depth": scene.depth})
        folder = out / _split(identity, test_share, seed)
        first: dict[str, SampleFiles] = {}
        for name, kind in kinds.items():
            for number in range(variants):
                parts = [CODE_VERSION, seed, identity, name, number]
                key = hash_json([*parts, asdict(kind), content])
                files = _files(folder, identity, name, number, own_clear=kind.exposure != (1.0, 1.0))
                first.setdefault(name, files)
                if _is_there(files, key, overwrite):
                    written.kept += 1
                    continue
                drawn = named_generator(*parts)
                _write(add_haze(scene.clear, scene.depth, kind, drawn), files, key)
                written.made += 1
        written.shown.append(first)
    if not written.shown:
        told = "\n  ".join(written.bad[:5]) or "there are none"
        raise ValueError(f"no scene can be read:\n  {told}")
    return written


def read_truth(path: Path | str) -> tuple[Tensor, Tensor, dict]:
    """Transmission, airlight and the numbers drawn, of a file in ``truth``.

    Raises:
        DamagedFileError: the file is damaged.
    """
    tensors, metadata = read_tensors(Path(path))
    return tensors["transmission"].float(), tensors["airlight"].float(), json.loads(metadata["facts"])


def scene_id(name: str) -> str:
    """A scene's name without underscores, at which RESIDE's names are parted."""
    return name.replace("_", "-")


def _files(folder: Path, identity: str, name: str, number: int, own_clear: bool) -> SampleFiles:
    # At night the lamps stand in the clear picture too, so that each hazy one has its own.
    identity = f"{identity}-{name}-{number}" if own_clear else identity
    sample = f"{identity}_{name}_{number}"
    return SampleFiles(
        folder / "hazy" / f"{sample}.png",
        folder / "clear" / f"{identity}.png",
        folder / "truth" / f"{sample}.safetensors",
    )


def _split(identity: str, test_share: float, seed: int) -> str:
    drawn = int(hash_json(["split", seed, identity]), 16) / 2**128
    return "test" if drawn < test_share else "train"


def _is_there(files: SampleFiles, key: str, overwrite: bool) -> bool:
    try:
        _, metadata = read_tensors(files.truth)
    except FileNotFoundError:
        return False
    except DamagedFileError:
        if overwrite:
            return False
        raise
    if metadata.get("key") == key:
        return files.hazy.is_file() and files.clear.is_file()
    if overwrite:
        return False
    raise ValueError(
        f"{files.hazy} was made of another picture or with other settings; choose another --out, or give "
        "--overwrite"
    )


def _write(sample: HazySample, files: SampleFiles, key: str) -> None:
    write_image(to_image(sample.clear * 2 - 1), files.clear)
    write_image(to_image(sample.hazy * 2 - 1), files.hazy)
    # Last, since its presence says that the pair is whole.
    truth = {"transmission": sample.transmission, "airlight": sample.airlight}
    write_tensors(files.truth, truth, {"key": key, "facts": json.dumps(sample.facts)})

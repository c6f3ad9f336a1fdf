"""The maps of a Freedoom game, and where on them a player can stand.

A WAD file is a directory of named lumps; a map is a marker lump followed by its tables, the first of which
(THINGS) has five little-endian 16-bit numbers a thing: x, y, angle, kind, flags.
"""

import struct
from functools import cache
from pathlib import Path

import numpy as np
import vizdoom

#: The games that come with the engine.
GAMES = ("freedoom1", "freedoom2")
# Where deathmatch players start, and things to pick up: their places can be reached and are not traps.
_KINDS = (11, 8, 17, 82, *range(2001, 2009), *range(2010, 2016), 2018, 2019, *range(2046, 2050))


def game_path(game: str) -> Path:
    """The WAD file of a game.

    Raises:
        ValueError: no such game.
    """
    if game not in GAMES:
        raise ValueError(f"the engine comes with the games {', '.join(GAMES)}; found {game!r}")
    return Path(vizdoom.__file__).with_name(f"{game}.wad")


@cache
def places(game: str) -> dict[str, np.ndarray]:
    """Positions on each map of a game: map name to float64 of shape (N, 2), N > 0, in map units."""
    content = game_path(game).read_bytes()
    count, start = struct.unpack_from("<ii", content, 4)
    lumps = [struct.unpack_from("<ii8s", content, start + 16 * i) for i in range(count)]
    names = [name.rstrip(b"\0").decode("ascii") for _, _, name in lumps]
    found = {}
    for name, following, (offset, size, _) in zip(names, names[1:], lumps[1:], strict=False):
        if following == "THINGS":
            things = np.frombuffer(content, "<i2", size // 2, offset).reshape(-1, 5)
            found[name] = things[np.isin(things[:, 3], _KINDS), :2].astype(np.float64)
    return found

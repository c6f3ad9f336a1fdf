"""Kinds of haze, as the ranges that a picture's haze is drawn from."""

from dataclasses import dataclass

Range = tuple[float, float]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class HazeDomain:
    """Ranges of one kind of haze; each picture draws its own values, evenly within them.

    Attributes:
        density: of the haze, where the farthest point of a picture has depth 1.
        brightness: of the airlight's brightest channel, in [0, 1].
        tints: colours of the airlight, of which one is drawn; multiplied by the brightness.
        unevenness: how much the density differs from place to place: it is multiplied by exp(u f) with a
            smooth field f in [-1, 1].
        exposure: what the clear picture is multiplied by; below 1 at night.
        lamps: how many sources of light with a glow around them.
        gamma: the power that the hazy picture is raised to (the camera's, not the haze's).
        noise: standard deviation of the camera's noise, in [0, 1].
    """

    density: Range = (0.6, 1.4)
    brightness: Range = (0.8, 1.0)
    tints: tuple[Colour, ...] = ((1.0, 1.0, 1.0),)
    unevenness: Range = (0.0, 0.0)
    exposure: Range = (1.0, 1.0)
    lamps: tuple[int, int] = (0, 0)
    gamma: Range = (1.0, 1.0)
    noise: Range = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("density", "brightness", "unevenness", "exposure", "lamps", "gamma", "noise"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} is {(low, high)}; expected 0 <= low <= high")
        if self.brightness[1] > 1 or self.exposure[1] > 1 or self.gamma[0] == 0:
            raise ValueError("brightness and exposure are at most 1, and gamma is above 0")
        if not self.tints or any(not 0 <= channel <= 1 for tint in self.tints for channel in tint):
            raise ValueError(f"tints are colours with channels in [0, 1], found {self.tints}")


_SAND, _SMOG, _BLUE = (1.0, 0.88, 0.68), (1.0, 0.94, 0.84), (0.86, 0.94, 1.0)

#: ``camera`` is grey haze with a camera's gamma and noise; ``shifted`` is all at once, dense, coloured and
#: uneven too.
DOMAINS = {
    "grey": HazeDomain(),
    "thin": HazeDomain(density=(0.1, 0.6)),
    "coloured": HazeDomain(brightness=(0.75, 1.0), tints=(_SAND, _SMOG, _BLUE)),
    "non-uniform": HazeDomain(density=(0.8, 1.8), unevenness=(0.5, 1.0)),
    "night": HazeDomain(
        density=(0.8, 1.8),
        brightness=(0.1, 0.25),
        tints=((1.0, 0.9, 0.75), (0.8, 0.9, 1.0)),
        exposure=(0.25, 0.45),
        lamps=(2, 6),
        noise=(0.0, 0.015),
    ),
    "camera": HazeDomain(gamma=(0.8, 1.3), noise=(0.005, 0.02)),
    "shifted": HazeDomain(
        density=(1.3, 2.2),
        tints=(_SAND,),
        unevenness=(0.4, 0.8),
        gamma=(1.25, 1.25),
        noise=(0.01, 0.01),
    ),
}


def domain(name: str) -> HazeDomain:
    """The haze of a name.

    Raises:
        ValueError: there is none.
    """
    if name not in DOMAINS:
        raise ValueError(f"the kinds of haze are {', '.join(DOMAINS)}; found {name!r}")
    return DOMAINS[name]

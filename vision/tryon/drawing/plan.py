"""What each clip of the studio shows: a function of the data set's seed and the clip's number.

Legend: F frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from vision.flow.draws import keyed_generator
from vision.tryon.drawing.actions import ACTIONS, CAPTIONS, POSSIBLE, Action, ClothState, cuts_for
from vision.tryon.drawing.figure import FIGURES
from vision.tryon.drawing.garment import GARMENTS, Cut
from vision.tryon.drawing.motion import Decoy, decoy_of, hovering_side

#: The splits in order. People, garments and prints of one are never seen in the other.
SPLITS = ("train", "test")
#: Every so many-th clip is a test clip.
TEST_EVERY = 10


@dataclass(frozen=True)
class StudioSettings:
    """What all clips of a data set have in common.

    Attributes:
        seed: of the data set.
        frames: F, 4n + 1.
        height: of the frames in pixels.
        width: likewise.
        actions: fewest and most actions in a clip.
        action_frames: fewest and most frames of an action.
        aligned: whether actions begin and end where groups of four frames do, as latents hold them.
        decoy: what a hand does that does not act; see :data:`vision.tryon.drawing.motion.Decoy`.
        unpaired: of which splits each clip is drawn with another garment, too: "none", "test" or "all".
    """

    seed: int = 0
    frames: int = 17
    height: int = 96
    width: int = 72
    actions: tuple[int, int] = (1, 2)
    action_frames: tuple[int, int] = (4, 8)
    aligned: bool = True
    decoy: Decoy = "none"
    unpaired: str = "test"

    def __post_init__(self) -> None:
        if not 17 <= self.frames <= 81 or self.frames % 4 != 1:
            raise ValueError(
                f"found {self.frames} frames a clip, expected 4n + 1 from 17 to 81, such as 17 or 49"
            )
        if self.height < 96 or self.width < 72 or self.height % 2 or self.width % 2:
            raise ValueError(
                f"found frames of {self.height}x{self.width}, expected even sides of at least 96x72 "
                "(height x width)"
            )
        for name, (least, most), lowest in (
            ("actions", self.actions, 0),
            ("action frames", self.action_frames, 1),
        ):
            if not lowest <= least <= most:
                raise ValueError(f"found {name} from {least} to {most}, expected a range from {lowest} up")
        room = room_for(self.frames, self.actions[1], self.aligned)
        if self.actions[1] and room < max(1, self.action_frames[0]):
            raise ValueError(
                f"{self.actions[1]} actions of {self.action_frames[0]} frames and the gaps between them do "
                f"not fit into {self.frames} frames; ask for fewer or shorter ones"
            )


@dataclass(frozen=True)
class StudioPlan:
    """One clip.

    Attributes:
        number: of the clip in the data set, from 0.
        split: one of :data:`SPLITS`.
        figure: number of the person.
        cut: of the garment.
        garment: its number.
        other: number of the garment of the unpaired clip, of the same cut.
        actions: in order, with at least one frame between them.
        start: how the garment is worn at first.
        scene: seed of motion and background.
    """

    number: int
    split: str
    figure: int
    cut: Cut
    garment: int
    other: int
    actions: tuple[Action, ...]
    start: ClothState
    scene: int

    @property
    def id(self) -> str:
        """Name of the clip."""
        return f"{self.number:06d}"

    @property
    def name(self) -> str:
        """Folder of the clip in the data set."""
        return f"{self.split}/{self.id}"

    @property
    def caption(self) -> str:
        """The global caption: the garment as it is worn at first, which no other condition shows, and the
        actions without their times."""
        noun = "polo shirt" if self.cut == "polo" else self.cut
        worn = f"{'a closed' if self.start.closed else 'an open'} {noun}"
        rolled = [word for side, word in ((-1, "left"), (1, "right")) if self.start.rolled[side]]
        if rolled:
            worn += f" with the {' and the '.join(rolled)} sleeve rolled up"
        if not self.actions:
            return f"A person in {worn} sways"
        done = ", ".join(dict.fromkeys(CAPTIONS[action.name].lower() for action in self.actions))
        return f"A person in {worn}: {done}"


def planned_clips(count: int, settings: StudioSettings) -> Iterator[StudioPlan]:
    """The first ``count`` clips of a data set; a larger count begins with the same ones."""
    for number in range(count):
        yield _plan(number, settings)


def _plan(number: int, settings: StudioSettings) -> StudioPlan:
    split = SPLITS[number % TEST_EVERY == TEST_EVERY - 1]
    draws = keyed_generator(settings.seed, "studio", number)
    # The actions of a data set are equally frequent; the garment is one with which the first is possible.
    wanted = ACTIONS[draws.integers(len(ACTIONS))]
    cuts = cuts_for(wanted)
    cut = cuts[draws.integers(len(cuts))]
    garment, shift = int(draws.integers(GARMENTS)), int(draws.integers(1, GARMENTS))
    actions = _actions(wanted, cut, settings, draws)
    names = [action.name for action in actions]
    # A front that is to be buttoned up is open; a zip may be either.
    closed = 0.0 if "button" in names else float(draws.random() < 0.5) if cut == "jacket" else 1.0
    start = ClothState(closed, {side: float(draws.random() < 0.25 and cut != "polo") for side in (-1, 1)})
    figure, scene = int(draws.integers(FIGURES)), int(draws.integers(2**32))
    if decoy_of(settings.decoy, scene) == "always":
        # Hands do not show who acts either: it is the one that hovers.
        side = hovering_side(scene)
        actions = tuple(replace(action, side=side, both=False) for action in actions)
    return StudioPlan(
        number=number,
        split=split,
        figure=figure,
        cut=cut,
        garment=garment,
        other=(garment + shift) % GARMENTS,
        actions=actions,
        start=start,
        scene=scene,
    )


def _actions(
    wanted: str, cut: Cut, settings: StudioSettings, draws: np.random.Generator
) -> tuple[Action, ...]:
    count = int(draws.integers(settings.actions[0], settings.actions[1] + 1))
    intervals = _intervals(count, settings, draws)
    names = [wanted]
    for _ in range(1, count):
        # Buttons are buttoned up once; neighbours differ, so that a boundary is one in the text as well.
        choices = [
            name for name in POSSIBLE[cut] if name != names[-1] and (name != "button" or name not in names)
        ]
        names.append(choices[draws.integers(len(choices))])
    if count and draws.random() < 0.5:
        names.reverse()
    made = []
    for name, (first, last) in zip(names, intervals, strict=False):
        side = int(draws.choice([-1, 1]))
        both = bool(draws.random() < 0.4) and name in ("collar", "hem", "stretch")
        made.append(Action(name, first, last, side, both))
    return tuple(made)


def room_for(frames: int, count: int, aligned: bool) -> int:
    """The most frames that each of ``count`` equally long actions can have, with gaps between them.

    Args:
        frames: F.
        count: of actions, 0 or more.
        aligned: whether they fill groups of four frames.
    """
    if count == 0:
        return frames
    if aligned:
        return ((frames - 1) // 4 - (count - 1)) // count * 4
    return (frames - 1 - (count - 1)) // count


def _intervals(count: int, settings: StudioSettings, draws: np.random.Generator) -> list[tuple[int, int]]:
    """First and last frames of the actions, drawn evenly; frame 0 always shows the garment untouched."""
    if count == 0:
        return []
    group = 4 if settings.aligned else 1
    cells = (settings.frames - 1) // group
    least, most = (max(1, -(-length // group)) for length in settings.action_frames)
    lengths: list[int] = []
    for left in range(count, 0, -1):
        # What the later ones need at least, with a gap before each of them.
        free = cells - sum(lengths) - len(lengths) - (left - 1) * (least + 1)
        lengths.append(int(draws.integers(least, min(most, free) + 1)))
    spare = cells - sum(lengths) - (count - 1)
    cuts = np.sort(draws.integers(0, spare + 1, count))
    intervals, place = [], 0
    for number, length in enumerate(lengths):
        place += int(cuts[number] - (cuts[number - 1] if number else 0)) + (number > 0)
        intervals.append((1 + group * place, group * (place + length)))
        place += length
    return intervals

"""What is recorded in each clip of a data set: a function of the data set's seed and the clip's number."""

from collections.abc import Iterator
from dataclasses import dataclass

from vision.flow.draws import keyed_generator
from vision.world.places import places

# Of ten clips in a row the ninth is played on maps that no other clip of the same game shows, the tenth in
# another game with other maps. A fifth of the clips is de-biased (SCOPE, data curation, step 2).
_SPLIT_OF_TEN = ("train",) * 8 + ("test", "test_freedoom1")
_POLICIES = {"random_walk": 0.4, "bursts": 0.3, "debiased": 0.2, "single_control": 0.1}
#: The splits in order.
SPLITS = tuple(dict.fromkeys(_SPLIT_OF_TEN))


@dataclass(frozen=True)
class ClipPlan:
    """One clip.

    Attributes:
        split: one of :data:`SPLITS`.
        game: see :class:`vision.world.engine.Engine`.
        map_name: the map that it is played on.
        number: of the clip in the data set, from 0.
        policy: a name in :data:`vision.world.policies.POLICIES`.
        seed: of the policy; of the engine by :meth:`engine_seed`.
    """

    split: str
    game: str
    map_name: str
    number: int
    policy: str
    seed: int

    @property
    def name(self) -> str:
        """Folder of the clip in the data set."""
        return f"{self.split}/{self.number:07d}"

    def engine_seed(self, attempt: int) -> int:
        """The seed of the start; another one for each attempt, since a level can end under a player."""
        return int(keyed_generator(self.seed, "start", attempt).integers(2**32))


def split_maps(split: str) -> tuple[str, tuple[str, ...]]:
    """The game of a split and its maps: every fourth map of Freedoom 2 is held out for "test"."""
    if split == "test_freedoom1":
        return "freedoom1", tuple(places("freedoom1"))
    maps = tuple(places("freedoom2"))
    held_out = maps[3::4]
    return "freedoom2", held_out if split == "test" else tuple(name for name in maps if name not in held_out)


def planned_clips(count: int, seed: int) -> Iterator[ClipPlan]:
    """The first ``count`` clips of the data set of a seed; a larger count begins with the same ones."""
    maps = {split: split_maps(split) for split in SPLITS}
    for number in range(count):
        split = _SPLIT_OF_TEN[number % 10]
        game, names = maps[split]
        draws = keyed_generator(seed, "clip", number)
        yield ClipPlan(
            split=split,
            game=game,
            map_name=names[draws.integers(len(names))],
            number=number,
            policy=str(draws.choice(list(_POLICIES), p=list(_POLICIES.values()))),
            seed=int(draws.integers(2**32)),
        )

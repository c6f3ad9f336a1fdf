"""Players that look at nothing: each a function of (seed, T) to T rows of controls.

Legend: T rows (frames); sticks (T, 4) in [-1, 1], buttons (T, 6) in {0, 1}, both float32, in the order of
:mod:`vision.world.gamepad`. Since no policy sees the screen, actions carry no information about the scene.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from vision.flow.draws import keyed_generator

Policy = Callable[[int, int], tuple[np.ndarray, np.ndarray]]

# A button's chance to go down in a row, and the mean number of rows that it stays down.
_PRESSES = ((0.06, 5), (0.03, 12), (0.04, 2), (0.02, 2), (0.015, 2), (0.02, 2))
# A whole stick turns the view by 8 degrees a frame: held for long, it shows nothing but the sky or the floor.
# Beyond so many of these from the horizon a policy looks back to it.
_FAR = 2


def random_walk(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Sticks that wander smoothly, more forward than back; each button pressed at its own rate."""
    draws = keyed_generator(seed, "random walk")
    sticks = _wandering(draws, rows, 3, 0.9) * [0.5, 0.6, 0.5] - [0, 0.3, 0]
    height = _wandering(draws, rows, 1, 0.95) * 1.5
    sticks = np.append(sticks, np.diff(height, axis=0, prepend=height[:1]), axis=1)
    buttons = [_pressed(draws, rows, chance, hold) for chance, hold in _PRESSES]
    return _rows(sticks, np.stack(buttons, 1))


def bursts(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Stretches of 3 to 12 rows, each at rest or with one or two sticks held; half of them with a button."""
    draws = keyed_generator(seed, "bursts")
    sticks, buttons = np.zeros((rows, 4)), np.zeros((rows, 6))
    height = 0.0
    for start, stop in _stretches(draws, rows, 3, 12):
        for stick in draws.permutation(4)[: draws.integers(3)]:
            held = draws.choice((-1, -0.5, 0.5, 1))
            if stick == 3:
                held = (-np.sign(height) * abs(held) if abs(height) > _FAR else held) * 3 / (stop - start)
                height += min(max(held, -1), 1) * (stop - start)
            sticks[start:stop, stick] = held
        if draws.random() < 0.5:
            tapped = draws.random() < 0.5
            buttons[start : start + 2 if tapped else stop, draws.integers(6)] = 1
    return _rows(sticks, buttons)


def single_control(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """One of the ten controls alone, on and off in stretches of 2 to 10 rows."""
    draws = keyed_generator(seed, "single control")
    controls = np.zeros((rows, 10))
    control = draws.integers(10)
    on = draws.random() < 0.5
    for start, stop in _stretches(draws, rows, 2, 10):
        if on:
            controls[start:stop, control] = draws.uniform(-1, 1) if control < 4 else 1
        on = not on
    if not controls.any():
        controls[0, control] = 1
    return _rows(controls[:, :4], controls[:, 4:])


def debiased(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """What real players seldom do: run on into a wall, fire at the sky, press any button anywhere.

    The left stick is active (its longer axis beyond 0.5) in at least 75 % of the rows, SCOPE keeps clips from
    70 % on; the six buttons are equally likely and independent of the sticks.
    """
    draws = keyed_generator(seed, "debiased")
    sticks = np.zeros((rows, 4))
    rest = int(0.25 * rows)
    for start, stop in _stretches(draws, rows, 10, 30):
        if stop - start <= rest and draws.random() < 0.2:
            rest -= stop - start
            continue
        along, across = draws.choice((-1, 1), p=(0.75, 0.25)), draws.choice((-1, 1))
        walks = draws.random() < 0.75
        lesser = draws.uniform(-0.5, 0.5)
        greater = draws.uniform(0.6, 1)
        sticks[start:stop, :2] = (lesser, along * greater) if walks else (across * greater, lesser)
    for start, stop in _stretches(draws, rows, 12, 36):
        # Up to the sky or down to the floor and back, so that the next stretch begins at the horizon.
        look = draws.choice((-1, 0, 1), p=(0.5, 0.25, 0.25)) * draws.uniform(0.5, 1)
        leave = min(4, (stop - start) // 2)
        sticks[start : start + leave, 3] = look
        sticks[stop - leave : stop, 3] = -look
        sticks[start:stop, 2] = draws.choice((0, draws.uniform(-1, 1)))
    buttons = [_pressed(draws, rows, 0.03, 4) for _ in range(6)]
    return _rows(sticks, np.stack(buttons, 1))


#: The policies by name.
POLICIES: dict[str, Policy] = {
    "random_walk": random_walk,
    "bursts": bursts,
    "single_control": single_control,
    "debiased": debiased,
}


def _rows(sticks: np.ndarray, buttons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return sticks.clip(-1, 1).astype(np.float32), buttons.astype(np.float32)


def _wandering(draws: np.random.Generator, rows: int, columns: int, memory: float) -> np.ndarray:
    """Stationary, of unit variance, shape (T, columns); ``memory`` of each row stays in the next."""
    values = draws.normal(size=(rows, columns))
    for row in range(1, rows):
        values[row] = memory * values[row - 1] + (1 - memory**2) ** 0.5 * values[row]
    return values


def _pressed(draws: np.random.Generator, rows: int, chance: float, hold: float) -> np.ndarray:
    """A button that goes down with ``chance`` a row and up again after ``hold`` rows on average."""
    uniform = draws.random(rows)
    pressed = np.zeros(rows)
    down = False
    for row in range(rows):
        down = uniform[row] >= 1 / hold if down else uniform[row] < chance
        pressed[row] = down
    return pressed


def _stretches(draws: np.random.Generator, rows: int, shortest: int, longest: int) -> list[tuple[int, int]]:
    """Cuts [0, rows) into stretches of random lengths; the last may be shorter."""
    ends = [0]
    while ends[-1] < rows:
        ends.append(min(rows, ends[-1] + int(draws.integers(shortest, longest + 1))))
    return list(pairwise(ends))

"""Random schedules of the student's rollout (CDM, arXiv 2605.06376)."""

import numpy as np

from vision.flow.draws import keyed_generator


def random_schedule(
    seed: int,
    step: int,
    max_steps: int = 28,
    low: float = 0.25,
    high: float = 0.95,
    stratified: bool = False,
    rank: int = 0,
) -> list[float]:
    """Times of one iteration's rollout, before the shift: 1, then N - 1 draws of U(low, high), falling.

    N is uniform on 1 ... max_steps and the same on every process, since sharded networks must be called
    equally often everywhere; the inner times differ by process. All of it depends on the arguments
    alone, so that a resumed run walks the same schedules.

    Args:
        seed: the run's seed.
        step: the iteration.
        max_steps: largest N.
        low, high: range of the inner times, in [0, 1].
        stratified: one inner time in each of N - 1 equal parts of [low, high].
        rank: the process.

    Returns:
        N strictly falling times, also once rounded to float32; the final 0 is not among them.
    """
    if max_steps < 1:
        raise ValueError(f"max_steps is {max_steps}; expected 1 or more")
    if not 0 <= low < high <= 1:
        raise ValueError(f"the inner times range from {low} to {high}; expected 0 <= low < high <= 1")
    num_inner = int(keyed_generator(seed, step, "rollout length").integers(max_steps))
    generator = keyed_generator(seed, step, "rollout times", rank)
    while True:
        inner = generator.random(num_inner)
        if stratified:
            inner = (np.arange(num_inner) + inner) / num_inner
        inner = low + (high - low) * np.sort(inner)[::-1]
        times = [1.0, *inner.tolist()]
        if len({np.float32(t) for t in [*times, 0.0]}) == len(times) + 1:
            return times

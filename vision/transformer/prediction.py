"""What the output layer of a transformer stands for.

Legend: B batch, C channels, F frames, H height, W width of the latents, F', H', W' the same in tokens.
"""

from typing import Literal, get_args

from torch import Tensor

#: flow_prediction: the velocity v = e - x_0, as in Wan. sample: the clean latents x_0. The names are those of
#: diffusers' schedulers.
PredictionType = Literal["flow_prediction", "sample"]
# Below this time x_0 and x_t are too near to each other to divide their difference by it (Li and He 2025,
# arXiv 2511.13720, clip alike).
_LEAST_TIME = 0.02


def checked_prediction_type(name: str | None) -> PredictionType:
    """A name of :data:`PredictionType`; None is ``flow_prediction``."""
    if name is None:
        return "flow_prediction"
    if name not in get_args(PredictionType):
        raise ValueError(
            f"prediction_type is {name!r}; expected one of {', '.join(get_args(PredictionType))}"
        )
    return name  # type: ignore[reportReturnType]


def velocity_from_sample(
    x_t: Tensor, sample: Tensor, timestep: Tensor, grid: tuple[int, int, int], patch: tuple[int, int, int]
) -> Tensor:
    """``v = (x_t - x_0) / t`` of a predicted ``x_0``, with t at least 0.02.

    A small network need not carry the noise of its input to its output then, which takes most of its width
    where a token holds many numbers.

    Args:
        x_t: shape (B, C, F, H, W).
        sample: ``x_0``, same shape.
        timestep: 1000 t, shape (B,), (B, F') or (B, F' H' W').
        grid: F', H', W'.
        patch: frames, rows and columns of a token.

    Returns:
        float32, same shape.
    """
    t = timestep.float() / 1000
    frames, rows, columns = grid
    if t.ndim == 1:
        t = t[:, None, None, None]
    elif t.shape[1] == frames:
        t = t[:, :, None, None]
    else:
        t = t.unflatten(1, (frames, rows, columns))
    for dim, size in enumerate(patch, 1):
        if t.shape[dim] > 1:
            t = t.repeat_interleave(size, dim)
    return (x_t.float() - sample.float()) / t[:, None].clamp(min=_LEAST_TIME)

"""The straight path between data and noise, and what one prediction says about the others.

    x_t = (1 - t) x_0 + t e,    t = 1 is noise, t = 0 is data,    dx/dt = v = e - x_0.

Of (velocity, x_0, noise, score) any one gives the others at a known (x_t, t):

    x_0 = x_t - t v,    e = x_t + (1 - t) v,    score = grad log p_t(x_t) = -e / t.

The last is Tweedie's formula where the prediction is the mean over the data given x_t (Lipman et al.
2022; Liu et al. 2022, rectified flow).

Legend: B batch; ``...`` any further dimensions, the same for each tensor of a call. A time ``t`` is a
number or a tensor of shape (B,), one for each sample; it is broadcast over the rest.
"""

from torch import Tensor

#: One time for all samples, or one for each: shape (B,).
Time = Tensor | float


def expand_time(t: Time, like: Tensor) -> Time:
    """Gives a time of shape (B,) the rank of ``like``, (B, 1, ..., 1); a number stays one.

    Raises:
        ValueError: when ``t`` is a tensor of another shape than (B,) or ().
    """
    if not isinstance(t, Tensor) or t.ndim == 0:
        return t
    if t.shape != like.shape[:1]:
        raise ValueError(
            f"times have shape {tuple(t.shape)} for a batch of shape {tuple(like.shape)}; "
            f"expected one time for each sample, shape ({like.shape[0]},)"
        )
    return t.reshape(-1, *[1] * (like.ndim - 1))  # (B, 1, ..., 1)


def interpolate(x_0: Tensor, noise: Tensor, t: Time) -> Tensor:
    """``x_t = (1 - t) x_0 + t e``; exactly the data at t = 0 and the noise at t = 1."""
    t = expand_time(t, x_0)
    return (1 - t) * x_0 + t * noise


def velocity_from_endpoints(x_0: Tensor, noise: Tensor) -> Tensor:
    """``v = e - x_0``, what a network is trained to predict."""
    return noise - x_0


def x0_from_velocity(x_t: Tensor, velocity: Tensor, t: Time) -> Tensor:
    """``x_0 = x_t - t v``, also called the denoiser D(x_t, t)."""
    return x_t - expand_time(t, x_t) * velocity


def noise_from_velocity(x_t: Tensor, velocity: Tensor, t: Time) -> Tensor:
    """``e = x_t + (1 - t) v``."""
    return x_t + (1 - expand_time(t, x_t)) * velocity


def score_from_velocity(x_t: Tensor, velocity: Tensor, t: Time) -> Tensor:
    """``score = -(x_t + (1 - t) v) / t``; needs t > 0."""
    return -noise_from_velocity(x_t, velocity, t) / expand_time(t, x_t)


def velocity_from_x0(x_t: Tensor, x_0: Tensor, t: Time) -> Tensor:
    """``v = (x_t - x_0) / t``; needs t > 0."""
    return (x_t - x_0) / expand_time(t, x_t)


def velocity_from_noise(x_t: Tensor, noise: Tensor, t: Time) -> Tensor:
    """``v = (e - x_t) / (1 - t)``; needs t < 1."""
    return (noise - x_t) / (1 - expand_time(t, x_t))


def velocity_from_score(x_t: Tensor, score: Tensor, t: Time) -> Tensor:
    """``v = -(x_t + t score) / (1 - t)``; needs t < 1."""
    t = expand_time(t, x_t)
    return -(x_t + t * score) / (1 - t)


def score_from_x0(x_t: Tensor, x_0: Tensor, t: Time) -> Tensor:
    """``score = ((1 - t) x_0 - x_t) / t^2``; needs t > 0."""
    t = expand_time(t, x_t)
    return ((1 - t) * x_0 - x_t) / t**2


def x0_from_score(x_t: Tensor, score: Tensor, t: Time) -> Tensor:
    """``x_0 = (x_t + t^2 score) / (1 - t)``; needs t < 1."""
    t = expand_time(t, x_t)
    return (x_t + t**2 * score) / (1 - t)

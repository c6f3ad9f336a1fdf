"""What a button changes in a world's clips, compared with what it changes in the engine's (SCOPE's scope).

A pair is two clips of one start, with the same noise and sticks: A with a press and A' without it. D = A - A'
is its response, g that of the engine. R is where g is not 0, U is R over all frames widened by 3 pixels.

Legend: N pairs, T frames, H height, W width. Clips are float in [0, 1], shape (N, T, H, W, 3), responses in
[-1, 1] of the same shape. All responses g have some pixel that is not 0.
"""

import numpy as np
from scipy.ndimage import binary_dilation

from vision.metrics.pooled import Pooled

#: Pixels by which U is wider than R.
REACH = 3
#: A response has begun in the first frame that has this share of what its strongest frame has.
BEGUN = 0.25


def regions(true: np.ndarray) -> np.ndarray:
    """R: the pixels of each frame that the press changes, bool (N, T, H, W)."""
    return (true != 0).any(-1)


def neighbourhoods(true: np.ndarray) -> np.ndarray:
    """U: R over all frames, widened by :data:`REACH` pixels, bool (N, H, W)."""
    square = np.ones((1, 2 * REACH + 1, 2 * REACH + 1), bool)
    return binary_dilation(regions(true).any(1), square)


def first_frames(true: np.ndarray) -> np.ndarray:
    """t0: the first frame of each pair that the press changes, int (N,)."""
    return regions(true).any((2, 3)).argmax(1)


def response_gain(made: np.ndarray, true: np.ndarray) -> Pooled:
    """``<D, g> / |g|^2``: 1 is the right amplitude, 0 none.

    Args:
        made: D.
        true: g.
    """
    return Pooled(_sums(made * true), _sums(true * true))


def localisation(made: np.ndarray, true: np.ndarray) -> Pooled:
    """Area under the precision-recall curve of |D| against R, the mean over pairs; by chance |R|'s share.

    Args:
        made: D.
        true: g.
    """
    scores = np.abs(made).sum(-1)
    return Pooled.mean([_average_precision(s, r) for s, r in zip(scores, regions(true), strict=True)])


def leakage(made: np.ndarray, true: np.ndarray) -> Pooled:
    """Mean of |D| outside U over mean of |D| inside R, in the frames from t0 on.

    Pairs whose U is the whole picture (aiming, most jumps) are left out.

    Args:
        made: D.
        true: g.
    """
    strength = np.abs(made).mean(-1)
    outside, inside = [], []
    for d, r, u, t0 in zip(strength, regions(true), neighbourhoods(true), first_frames(true), strict=True):
        if not u.all():
            outside.append(d[t0:][:, ~u].mean())
            inside.append(d[r].mean())
    return Pooled(np.array(outside, np.float64), np.array(inside, np.float64))


def onset_error(made: np.ndarray, true: np.ndarray) -> Pooled:
    """First frame with a response less the engine's, in frames; positive is late. The mean over pairs.

    Both are found by one rule (:data:`BEGUN`), in U. Pairs without any response are left out.

    Args:
        made: D.
        true: g.
    """
    around = neighbourhoods(true)
    return Pooled.mean(_begun(made, around) - _begun(true, around))


def pre_onset_energy(made: np.ndarray, true: np.ndarray) -> Pooled:
    """Mean of |D| before t0 over its mean from t0 on: 0 for a world that does not know the future.

    Args:
        made: D.
        true: g.
    """
    strength = np.abs(made).mean((2, 3, 4))
    starts = first_frames(true)
    before = np.array([d[:t0].mean() if t0 else 0.0 for d, t0 in zip(strength, starts, strict=True)])
    after = np.array([d[t0:].mean() for d, t0 in zip(strength, starts, strict=True)])
    return Pooled(before, after)


def response_curve(change: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean of |D| inside U by frame, over all pairs, shape (T,).

    Args:
        change: D, or g itself.
        true: g.
    """
    around = neighbourhoods(true)[:, None]  # (N, 1, H, W)
    return (np.abs(change).mean(-1) * around).sum((0, 2, 3)) / around.sum()


def own_truth_accuracy(
    pressed: np.ndarray, idle: np.ndarray, true_pressed: np.ndarray, true_idle: np.ndarray
) -> Pooled:
    """Share of clips that are nearer, inside R, to their own truth than to the other one of the pair.

    Both clips of a pair count; equal distances count half. A world that ignores the button has 0.5.

    Args:
        pressed, idle: the world's A and A'.
        true_pressed, true_idle: the engine's.
    """
    inside = regions(true_pressed - true_idle)[..., None]
    shares = []
    for clips, own, other in ((pressed, true_pressed, true_idle), (idle, true_idle, true_pressed)):
        near, far = (_sums(inside * (clips - truth) ** 2) for truth in (own, other))
        shares.append((near < far) + 0.5 * (near == far))
    return Pooled.mean(np.mean(shares, 0))


def psnr_outside(clips: np.ndarray, truth: np.ndarray, around: np.ndarray | None = None) -> Pooled:
    """PSNR in dB of clips against the engine's, outside U, without the first frame; the mean over clips.

    Args:
        clips: shape (N, T, H, W, 3).
        truth: of the same shape.
        around: U, shape (N, H, W); None counts the whole picture. Clips without any pixel outside are left
            out.
    """
    errors = ((clips - truth)[:, 1:] ** 2).mean(-1)
    around = np.zeros((len(clips), *clips.shape[2:4]), bool) if around is None else around
    kept = [error[:, ~u].mean() for error, u in zip(errors, around, strict=True) if not u.all()]
    # An error of 0 is given the PSNR of half a step of 8 bits, so that means stay finite.
    return Pooled.mean([-10 * np.log10(max(error, (0.5 / 255) ** 2)) for error in kept])


def _sums(values: np.ndarray) -> np.ndarray:
    return values.sum((1, 2, 3, 4), dtype=np.float64)


def _begun(change: np.ndarray, around: np.ndarray) -> np.ndarray:
    """First frame of (N, T, H, W, 3) with a response in U, float64 (N,); NaN without any."""
    energy = (np.abs(change).mean(-1) * around[:, None]).sum((2, 3), dtype=np.float64)  # (N, T)
    most = energy.max(1, keepdims=True)
    return np.where(most[:, 0] > 0, (energy >= BEGUN * most).argmax(1), np.nan)


def _average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """``sum_k (recall_k - recall_(k-1)) precision_k`` over all distinct thresholds k."""
    order = np.argsort(-scores, axis=None, kind="stable")
    ranked, hits = scores.ravel()[order], np.cumsum(positive.ravel()[order])
    ends = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
    found = hits[ends]
    return float((np.diff(found, prepend=0) / found[-1] * found / (ends + 1)).sum())

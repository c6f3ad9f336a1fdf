"""How foggy a picture looks: FADE, without a reference (Choi, You and Bovik 2015).

L. K. Choi, J. You, A. C. Bovik, "Referenceless Prediction of Perceptual Fog Density and Perceptual Image
Defogging", IEEE Transactions on Image Processing 24(11), 2015. The statistics of natural pictures are
those that its authors published; their notice is FADE_NOTICE.txt.

Legend: H height, W width, C channels, N patches of 8 x 8 pixels.
"""

import json
from functools import cache
from importlib.resources import files

import numpy as np
from scipy.ndimage import correlate1d
from torch import Tensor

from vision.media.image import to_bytes

PATCH = 8
#: The filter of contrast reaches 10 pixels beyond each border.
SMALLEST = 16
_REACH = 10
# Noise thresholds of the contrast energy, in grey levels: grey, yellow-blue, red-green.
_THRESHOLDS = tuple(255 * part for part in (9.225496406318721e-4, 8.969246659629488e-4, 2.069284034165411e-4))


def fog_density(pixels: Tensor) -> float:
    """FADE of a picture: its distance from fog-free pictures over its distance from foggy ones.

    D = mean over patches of sqrt(d' ((S + S_p) / 2)^-1 d), where d is the difference of the patch's twelve
    features from the mean of natural pictures, S their covariance and S_p that of the patch; FADE is
    D(fog-free) / D(foggy). About 0.3 is clear air, above 1 plainly foggy.

    Args:
        pixels: uint8, or floats in [-1, 1], shape (3, H, W); rows and columns beyond a multiple of 8 at the
            bottom and the right are left out.

    Returns:
        At least 0; NaN where no patch can be measured (a picture of one grey).

    Raises:
        ValueError: another shape, or a side below 16 pixels.
    """
    features = fog_features(pixels)
    features = features[np.isfinite(features).all(1)]
    if not len(features):
        return float("nan")
    clear, foggy = _statistics()
    return float(_distance(features, *clear) / _distance(features, *foggy))


def fog_features(pixels: Tensor) -> np.ndarray:
    """The twelve fog features of each patch, as log(1 + f).

    Args:
        pixels: as for :func:`fog_density`.

    Returns:
        float64 of shape (N, 12); with NaN in black patches.
    """
    if pixels.ndim != 3 or len(pixels) != 3 or min(pixels.shape[1:]) < SMALLEST:
        raise ValueError(
            f"fog density needs a picture (3, H, W) of at least {SMALLEST} x {SMALLEST}, found shape "
            f"{tuple(pixels.shape)}"
        )
    height, width = (side // PATCH * PATCH for side in pixels.shape[1:])
    colour = to_bytes(pixels)[:, :height, :width].numpy().astype(np.float64)
    red, green, blue = colour
    grey = np.rint(0.2989 * red + 0.5870 * green + 0.1140 * blue)
    red_green, yellow_blue = red - green, 0.5 * (red + green) - blue
    brightest, darkest = colour.max(0), colour.min(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        saturation = np.where(brightest > 0, (brightest - darkest) / brightest, 0.0)

    mean = _blurred(grey)
    deviation = np.sqrt(np.abs(_blurred(grey * grey) - mean * mean))
    normalised = (grey - mean) / (deviation + 1)
    product = _patches(normalised * np.roll(normalised, 1, axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        variation = deviation / mean

    contrasts = (0.299 * red + 0.587 * green + 0.114 * blue, yellow_blue, red_green)
    energies = [_contrast_energy(plane, t) for plane, t in zip(contrasts, _THRESHOLDS, strict=True)]
    rg, yb = _patches(red_green), _patches(yellow_blue)
    colourfulness = np.sqrt(rg.var(1, ddof=1) + yb.var(1, ddof=1)) + 0.3 * np.hypot(rg.mean(1), yb.mean(1))
    features = [
        _patches(normalised).var(1, ddof=1),
        _variance_where(product, product >= 0),
        _variance_where(product, product <= 0),
        *(_patches(plane).mean(1) for plane in (deviation, variation, *energies)),
        _entropies(_patches(grey)),
        _patches(darkest / 255).mean(1),
        _patches(saturation).mean(1),
        colourfulness,
    ]
    return np.log1p(np.stack(features, 1))


def _distance(features: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    """Mean Mahalanobis-like distance of patches from a set of natural pictures.

    The published measure takes the variance s of a patch's own twelve numbers as each entry of its
    covariance, so that the inverse of S + s 1 1' follows from that of S (Sherman and Morrison).
    """
    inverse = np.linalg.inv(covariance)
    spread = features.var(1, ddof=1)
    off = features - mean
    ones = inverse.sum(1)
    squared = np.einsum("ni,ij,nj->n", off, inverse, off)
    squared -= spread * (off @ ones) ** 2 / (1 + spread * ones.sum())
    return float(np.sqrt(np.maximum(2 * squared, 0)).mean())


def _patches(plane: np.ndarray) -> np.ndarray:
    """(H, W) as (N, 64)."""
    rows, columns = (side // PATCH for side in plane.shape)
    return plane.reshape(rows, PATCH, columns, PATCH).swapaxes(1, 2).reshape(-1, PATCH * PATCH)


def _blurred(plane: np.ndarray) -> np.ndarray:
    """A Gaussian of deviation 7/6 on 7 x 7 pixels; borders repeat."""
    weights = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    weights /= weights.sum()
    return correlate1d(correlate1d(plane, weights, 0, mode="nearest"), weights, 1, mode="nearest")


def _contrast_energy(plane: np.ndarray, threshold: float) -> np.ndarray:
    """Response of a second derivative of a Gaussian, divided by contrast, above the noise threshold."""
    sigma = 3.25
    # The published filter has 20 taps, half a tap off its centre, and outside the picture its border
    # strips stand once more, not mirrored.
    x = np.arange(-3 * sigma, 3 * sigma)
    gauss = np.exp(-(x**2) / (2 * sigma**2))
    gauss /= gauss.sum()
    weights = (x**2 / sigma**4 - 1 / sigma**2) * gauss
    weights -= weights.mean()
    weights /= (0.5 * x * x * weights).sum()

    wide = np.concatenate([plane[:_REACH], plane, plane[-_REACH:]])
    wide = np.concatenate([wide[:, :_REACH], wide, wide[:, -_REACH:]], axis=1)
    inside = slice(_REACH, -_REACH)
    down = correlate1d(wide[:, inside], weights[::-1], 0, origin=-1)[inside]
    across = correlate1d(wide[inside], weights[::-1], 1, origin=-1)[:, inside]
    contrast = np.hypot(down, across)
    largest = contrast.max()
    if largest == 0:
        return contrast
    response = contrast * largest / (contrast + 0.1 * largest) - threshold
    return np.where(response > 1e-7, response, 0.0)


def _variance_where(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Sample variance of the chosen values of each row; NaN for fewer than two."""
    count = chosen.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(chosen, values, 0).sum(1) / count
        squared = np.where(chosen, values - mean[:, None], 0) ** 2
        return np.where(count > 1, squared.sum(1) / (count - 1), np.nan)


def _entropies(patches: np.ndarray) -> np.ndarray:
    """Shannon entropy in bits of the grey levels of each row."""
    levels = patches.astype(np.int64)
    result = np.empty(len(levels))
    for start in range(0, len(levels), 4096):  # so many rows that their histograms take 8 MB
        rows = levels[start : start + 4096]
        numbers = rows + 256 * np.arange(len(rows))[:, None]
        counts = np.bincount(numbers.ravel(), minlength=256 * len(rows)).reshape(-1, 256)
        share = counts / rows.shape[1]
        result[start : start + 4096] = -(share * np.log2(np.where(counts, share, 1))).sum(1)
    return result


@cache
def _statistics() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Mean (12,) and covariance (12, 12) of fog-free and of foggy pictures."""
    text = files("vision.metrics").joinpath("fade_statistics.json").read_text("utf-8")
    found = json.loads(text)
    clear, foggy = (
        (np.array(found[name]["mean"]), np.array(found[name]["covariance"])) for name in ("fog_free", "foggy")
    )
    return clear, foggy

"""How good pictures are: Fréchet distance, diversity, PSNR, SSIM, saturation, fog density, entropy."""

from vision.metrics.diversity import diversity
from vision.metrics.entropy import entropy
from vision.metrics.features import FeatureNetwork
from vision.metrics.fog import fog_density
from vision.metrics.frechet import frechet_distance
from vision.metrics.saturation import departures, picture_statistics, standard_error
from vision.metrics.similarity import psnr, ssim, ssim_inside_outside
from vision.metrics.statistics import FeatureStatistics

__all__ = [
    "FeatureNetwork",
    "FeatureStatistics",
    "departures",
    "diversity",
    "entropy",
    "fog_density",
    "frechet_distance",
    "picture_statistics",
    "psnr",
    "ssim",
    "ssim_inside_outside",
    "standard_error",
]

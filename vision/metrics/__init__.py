"""How good pictures are: Fréchet distance, PSNR, SSIM."""

from vision.metrics.features import FeatureNetwork
from vision.metrics.frechet import frechet_distance
from vision.metrics.similarity import psnr, ssim
from vision.metrics.statistics import FeatureStatistics

__all__ = ["FeatureNetwork", "FeatureStatistics", "frechet_distance", "psnr", "ssim"]

"""Gaussian mixtures, whose denoiser is known in closed form at each time.

Legend: B batch; D elements of a latent; K components of a mixture.
"""

import torch
from torch import Tensor


class Mixture:
    """A mixture of K diagonal Gaussians over D elements.

    Args:
        means: (K, D).
        stds: (K, D); 0 is a point.
        weights: (K,), summing to 1.
    """

    def __init__(self, means: Tensor, stds: Tensor, weights: Tensor | None = None) -> None:
        self.means, self.stds = means, stds
        self.weights = torch.full((len(means),), 1 / len(means)) if weights is None else weights

    def _log_parts(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log (w_k N(x; m_k(t), V_k(t))), m_k(t) and V_k(t) of the noisy mixture: (B, K), twice (B, K, D)."""
        t = t[:, None, None]
        mean = (1 - t) * self.means
        variance = (1 - t) ** 2 * self.stds**2 + t**2
        exponent = -0.5 * ((x[:, None] - mean) ** 2 / variance + variance.log()).sum(-1)
        return self.weights.log() + exponent, mean, variance

    def log_density(self, x: Tensor, t: Tensor) -> Tensor:
        """log p_t(x) but for a constant, shape (B,), of x (B, D)."""
        return self._log_parts(x, t)[0].logsumexp(1)

    def x0(self, x: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t = x], shape (B, D): each component's posterior mean by its responsibility."""
        log_parts, mean, variance = self._log_parts(x, t)
        gain = (1 - t)[:, None, None] * self.stds**2 / variance
        means = self.means + gain * (x[:, None] - mean)  # (B, K, D)
        return (log_parts.softmax(1)[:, :, None] * means).sum(1)

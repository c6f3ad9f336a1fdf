"""A fake score that knows which anchor of the rollout its data come from.

CDM's fake score models the mixture of the student's predictions over all anchors, and a mixture that
matches the teacher says little about each anchor by itself: early predictions stay too narrow while late
ones grow too wide. Told the anchor's sigma, the fake score models each anchor's predictions, as the
stage-aware fake score of TDM does (Luo et al. 2025).

Legend: B batch, G times of a sample, D width of the time embedding.
"""

from typing import Any

from torch import Tensor, nn

from vision.flow.denoiser import Condition, Denoiser
from vision.transformer.embedding import sinusoid

#: Name of the anchor's sigma, shape (B,), in the condition of an :class:`AnchorAwareDenoiser`.
ANCHOR_SIGMA = "anchor_sigma"


class AnchorEmbedding(nn.Module):
    """Sinusoids of 1000 sigma and a linear map that starts at zero.

    Attributes:
        sigma: what the network's next call embeds, shape (B,) or (B, G); None adds nothing.
    """

    def __init__(self, width: int, frequencies: int = 128) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * frequencies, width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.sigma: Tensor | None = None

    def forward(self, sigma: Tensor) -> Tensor:
        """Embedding (..., D) of times of any shape."""
        features = sinusoid(1000 * sigma, self.linear.in_features)
        return self.linear(features.to(self.linear.weight.dtype))

    def add_to(self, time_embedder: nn.Module, arguments: Any, output: Tensor) -> Tensor:
        """Forward hook of the network's time embedder, whose output is (B, D) or (B, ..., D)."""
        if self.sigma is None:
            return output
        embedding = self(self.sigma).to(output.dtype)  # (B, D) or (B, G, D)
        if self.sigma.ndim > 1:
            return output + embedding
        return output + embedding.reshape(len(embedding), *[1] * (output.ndim - 2), -1)


class AnchorAwareDenoiser(Denoiser):
    """Any denoiser whose network also gets the anchor's sigma, as ``condition["anchor_sigma"]``.

    The network gains one submodule, ``anchor_embedding``, and its time embedder a hook that adds the
    embedding. It stays the same object with the same parameter names, so that checkpointing, adapters,
    DDP, sharding and compilation by block see what they saw before; fresh, it gives the same bits.

    Args:
        denoiser: the denoiser to extend; its ``network`` is changed in place.
        width: D; by default that of the last linear layer of the time embedder.

    Raises:
        ValueError: when the network has an anchor embedding already, or the width cannot be told.
    """

    def __init__(self, denoiser: Denoiser, width: int | None = None) -> None:
        network = denoiser.network
        if hasattr(network, "anchor_embedding"):
            raise ValueError("the network has an anchor embedding already; wrap its plain denoiser once")
        time_embedder = denoiser.time_embedder()
        if width is None:
            linears = [module for module in time_embedder.modules() if isinstance(module, nn.Linear)]
            if not linears:
                raise ValueError(
                    f"the time embedder {type(time_embedder).__name__} has no linear layer to tell its "
                    "width; pass width"
                )
            width = linears[-1].out_features
        parameter = next(network.parameters())
        self._denoiser = denoiser
        self._embedding = AnchorEmbedding(width).to(parameter.device, parameter.dtype)
        network.add_module("anchor_embedding", self._embedding)
        time_embedder.register_forward_hook(self._embedding.add_to)

    @property
    def network(self) -> nn.Module:
        """The network, which the training loop may replace by a wrapped one."""
        return self._denoiser.network

    @network.setter
    def network(self, network: nn.Module) -> None:
        self._denoiser.network = network

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Velocity at ``x_t``; see :class:`Denoiser`. Without ``anchor_sigma``, the plain network's."""
        plain = {name: value for name, value in condition.items() if name != ANCHOR_SIGMA}
        sigma = condition.get(ANCHOR_SIGMA)
        self._embedding.sigma = None if sigma is None else self._denoiser.as_times(sigma, plain)
        try:
            return self._denoiser.velocity(x_t, t, plain)
        finally:
            # Other networks may share this one's time embedder (vision.lora.shared_base). A backward pass
            # that recomputes blocks, as diffusers' networks do, does not recompute the embedding of the time.
            self._embedding.sigma = None

    def as_times(self, values: Tensor, condition: Condition) -> Tensor:
        return self._denoiser.as_times(values, condition)

    def time_embedder(self) -> nn.Module:
        return self._denoiser.time_embedder()

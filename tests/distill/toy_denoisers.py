"""Small denoisers: a real network, and Gaussian mixtures whose denoiser is known in closed form.

Legend: B batch; D elements of a latent; K components of a mixture.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor, nn

from train.methods.cdm import CDM
from train.recipes.cdm import CDMSettings
from vision.distill.anchor import AnchorEmbedding
from vision.flow.denoiser import Condition, Denoiser
from vision.flow.path import expand_time, velocity_from_x0
from vision.transformer import VideoTransformer, VideoTransformerDenoiser

SHAPE = (2, 1, 2, 2)  # C, F, H, W
PROMPT_WIDTH = 3


class TinyNetwork(nn.Module):
    """A multilayer perceptron with dropout off, a time embedder and a prompt."""

    def __init__(self, elements: int = 8, width: int = 24, dropout: float = 0.0) -> None:
        super().__init__()
        self.time_embedder = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        self.inner = nn.Linear(elements, width)
        self.prompt = nn.Linear(PROMPT_WIDTH, width)
        self.dropout = nn.Dropout(dropout)
        self.outer = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, elements))

    def forward(self, x: Tensor, timestep: Tensor, prompt: Tensor) -> Tensor:
        hidden = self.inner(x.flatten(1)) + self.time_embedder(timestep[:, None] / 1000) + self.prompt(prompt)
        return self.outer(self.dropout(hidden)).reshape(x.shape)


@dataclass
class Call:
    """One call of a denoiser."""

    x: Tensor
    t: Tensor
    prompt: Tensor
    with_gradient: bool
    training: bool


class TinyDenoiser(Denoiser):
    """Denoiser of a :class:`TinyNetwork` that remembers how it was called."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.calls: list[Call] = []

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        prompt = condition["prompt"]
        self.calls.append(Call(x_t, t, prompt, torch.is_grad_enabled(), self.network.training))
        return self.network(x_t, 1000 * t, prompt)

    def time_embedder(self) -> nn.Module:
        return self.network.time_embedder  # pyright: ignore[reportReturnType]


def tiny_denoiser(seed: int = 0, **arguments) -> TinyDenoiser:
    torch.manual_seed(seed)
    return TinyDenoiser(TinyNetwork(**arguments))


LATENTS = (2, 1, 4, 4)  # four tokens of the transformer
TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": SHAPE[0],
    "out_channels": SHAPE[0],
    "text_dim": 5,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 2,
}


def transformer_denoiser(seed: int = 0) -> VideoTransformerDenoiser:
    torch.manual_seed(seed)
    return VideoTransformerDenoiser(VideoTransformer(**TRANSFORMER))


def transformer_prompts(batch_size: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"encoder_hidden_states": torch.randn(batch_size, 3, TRANSFORMER["text_dim"], generator=generator)}


def transformer_cdm(lora: bool = False, **options: Any) -> CDM:
    """Student, fake and teacher of one seed; with ``lora`` frozen but for adapters of equal weights."""
    teacher = transformer_denoiser()
    student = transformer_denoiser()
    if lora:
        student.network.add_adapter(  # pyright: ignore[reportCallIssue]
            LoraConfig(
                r=2, lora_alpha=4, target_modules=["to_q", "ffn.net.0.proj"], init_lora_weights="gaussian"
            )
        )
    fake = VideoTransformerDenoiser(copy.deepcopy(student.network))
    return CDM(
        student,
        fake,
        teacher,
        settings=CDMSettings(max_rollout_steps=3, **options),
        null_condition={"encoder_hidden_states": torch.zeros(1, 3, 5)},
        latent_shape=LATENTS,
        shift=3.0,
    )


def embedding_of(network: nn.Module) -> AnchorEmbedding:
    embedding = network.anchor_embedding
    assert isinstance(embedding, AnchorEmbedding)
    return embedding


def cdm(seeds: tuple[int, int, int] = (0, 1, 2), shift: float = 3.0, **options) -> CDM:
    """A method whose student, fake score and teacher are tiny networks of these seeds."""
    student, fake, teacher = (tiny_denoiser(seed) for seed in seeds)
    return CDM(
        student,
        fake,
        teacher,
        settings=CDMSettings(**options),
        null_condition={"prompt": torch.zeros(1, PROMPT_WIDTH)},
        latent_shape=SHAPE,
        shift=shift,
    )


def prompts(batch_size: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"prompt": torch.randn(batch_size, PROMPT_WIDTH, generator=generator)}


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


class MixtureDenoiser(Denoiser):
    """The exact velocity of a mixture."""

    def __init__(self, mixture: Mixture) -> None:
        super().__init__(nn.Identity())
        self.mixture = mixture

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        x0 = self.mixture.x0(x_t.flatten(1), t).reshape(x_t.shape)
        return velocity_from_x0(x_t, x0, t)

    def time_embedder(self) -> nn.Module:
        return self.network


def gradients(network: nn.Module) -> list[Tensor]:
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in network.parameters()]


def assert_all_close(
    left: Iterable[Tensor], right: Iterable[Tensor], rtol: float = 1e-5, atol: float = 1e-7
) -> None:
    for one, other in zip(left, right, strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=atol)


def renoise(x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Written out again, so that a test does not check the path by itself."""
    t = torch.as_tensor(expand_time(t, x0))
    return x0 - t * x0 + t * noise

"""Small denoisers: real networks, and what the tests of distillation share."""

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
from vision.flow.path import expand_time
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

"""The transformer behind the call that training and distillation make."""

import pytest
import torch
from tiny_transformers import make_inputs, make_tiny
from torch import nn

from vision.transformer import VideoTransformerDenoiser


class Wrapper(nn.Module):
    """Forwards a call, as DistributedDataParallel does."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)


@pytest.mark.parametrize("variant", ["text", "image"])
def test_velocity_is_the_model_at_a_thousand_t(variant):
    model, inputs = make_tiny(variant), make_inputs(variant)
    x_t, t = inputs.pop("hidden_states"), inputs.pop("timestep") / 1000
    velocity = VideoTransformerDenoiser(model).velocity(x_t, t, inputs)
    assert torch.equal(velocity, model(x_t, 1000 * t, **inputs).sample)
    assert torch.equal(VideoTransformerDenoiser(Wrapper(model)).velocity(x_t, t, inputs), velocity)


@pytest.mark.parametrize("autocast", [False, True])
def test_velocity_is_float32_and_has_gradients_whatever_the_weights(autocast):
    model, inputs = make_tiny(), make_inputs()
    if not autocast:
        model.to(torch.bfloat16)  # type: ignore
    x_t = inputs["hidden_states"].requires_grad_()
    condition = {"encoder_hidden_states": inputs["encoder_hidden_states"]}
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        velocity = VideoTransformerDenoiser(model).velocity(x_t, torch.tensor([0.1, 0.9]), condition)
    assert velocity.dtype == torch.float32 and velocity.shape == x_t.shape
    velocity.square().mean().backward()
    assert x_t.grad is not None and x_t.grad.abs().max() > 0


def test_time_embedder_sees_every_pass():
    model, inputs = make_tiny(), make_inputs()
    denoiser = VideoTransformerDenoiser(model)
    shapes = []
    denoiser.time_embedder().register_forward_hook(lambda module, args, output: shapes.append(output.shape))
    denoiser.velocity(
        inputs["hidden_states"],
        torch.tensor([0.1, 0.9]),
        {"encoder_hidden_states": inputs["encoder_hidden_states"]},
    )
    assert [tuple(shape) for shape in shapes] == [(2, 48)]
    with pytest.raises(TypeError, match="Wrapper"):
        VideoTransformerDenoiser(Wrapper(model)).time_embedder()

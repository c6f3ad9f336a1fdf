"""The slots: fresh modules change no bit, trained ones are saved and loaded, inputs arrive by name."""

from typing import Any

import pytest
import torch
from tiny_transformers import make_inputs, make_tiny
from torch import nn

from vision.transformer import BlockContext, Conditioning, VideoTransformer, register_conditioning


@register_conditioning("test_action")
class Action(Conditioning):
    """A signal a frame, added to the frame's tokens."""

    slot = "after_cross_attention"
    inputs = ("actions",)

    def __init__(self, config, channels: int = 3) -> None:
        super().__init__()
        self.to_tokens = nn.Linear(channels, config.num_attention_heads * config.attention_head_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.to_tokens.weight)
        nn.init.zeros_(self.to_tokens.bias)

    def forward(self, hidden_states: torch.Tensor, context: BlockContext) -> torch.Tensor:
        if "actions" not in context.conditions:
            return hidden_states
        update = self.to_tokens(context.conditions["actions"].to(hidden_states.dtype))  # (B, F, D)
        return hidden_states + update.repeat_interleave(context.grid[1] * context.grid[2], dim=1)


@register_conditioning("test_early")
class Early(Action):
    slot = "after_self_attention"


@register_conditioning("test_timed_text")
class TimedText(Conditioning):
    """Further prompt tokens beside the prompt's, through a gate."""

    slot = "in_cross_attention"
    inputs = ("timed_text",)

    def __init__(self, config) -> None:
        super().__init__()
        self.to_key_value = nn.Linear(config.text_dim, 2 * config.attention_head_dim)
        self.gate = nn.Parameter(torch.zeros(1))

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.gate)

    def forward(self, attended: torch.Tensor, query: torch.Tensor, context: BlockContext) -> torch.Tensor:
        if "timed_text" not in context.conditions:
            return attended
        key, value = self.to_key_value(context.conditions["timed_text"]).chunk(2, dim=-1)
        weights = torch.einsum("blhe,bme->blhm", query, key).softmax(-1)
        return attended + self.gate * torch.einsum("blhm,bme->blhe", weights, value)


@register_conditioning("test_control")
class Control(Conditioning):
    """A second stream beside the blocks, which leaves a hint at each of some blocks."""

    slot = "residual_hints"
    inputs = ("control",)

    def __init__(self, config, levels: list[int]) -> None:
        super().__init__()
        width = config.num_attention_heads * config.attention_head_dim
        self.levels = levels
        self.after: Any = nn.ModuleList(nn.Linear(width, width) for _ in levels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in self.after:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, hidden_states: torch.Tensor, context: BlockContext) -> dict[int, torch.Tensor]:
        if "control" not in context.conditions:
            return {}
        stream = hidden_states + context.conditions["control"]
        return {level: layer(stream) for level, layer in zip(self.levels, self.after, strict=True)}


KINDS = {
    "test_action": {"channels": 3},
    "test_early": {"channels": 3, "blocks": [0, 2]},
    "test_timed_text": {},
    "test_control": {"levels": [0, 1]},
    "interval": {},
}
CONDITIONS = {
    "actions": torch.randn(2, 3, 3),
    "timed_text": torch.randn(2, 4, 20),
    "control": torch.randn(2, 36, 48),
    "interval": torch.rand(2),
}


def wake(model: VideoTransformer) -> None:
    """Random weights in the conditioning modules only."""
    for module in model.modules():
        if isinstance(module, Conditioning):
            for parameter in module.parameters():
                nn.init.normal_(parameter, std=0.5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_fresh_module_changes_no_bit_and_a_trained_one_is_the_identity_without_input(kind):
    model, inputs = make_tiny(), make_inputs()
    before = model(**inputs).sample
    model.add_conditioning(kind, **KINDS[kind])
    condition = {name: CONDITIONS[name] for name in model.condition_names}
    assert len(condition) == 1
    assert torch.equal(model(**inputs, **condition).sample, before)
    wake(model)
    assert not torch.allclose(model(**inputs, **condition).sample, before, atol=1e-3)
    assert torch.equal(model(**inputs).sample, before)
    assert torch.equal(model(**inputs, **dict.fromkeys(condition)).sample, before)


@torch.no_grad()
def test_modules_are_saved_and_loaded(tmp_path):
    model = make_tiny()
    for kind, options in KINDS.items():
        model.add_conditioning(kind, **options)
    wake(model)
    assert "blocks.2.conditioning.test_early.to_tokens.weight" in model.state_dict()
    assert "blocks.1.conditioning.test_early.to_tokens.weight" not in model.state_dict()
    model.save_pretrained(tmp_path)
    again = VideoTransformer.from_pretrained(tmp_path)
    assert again.config["conditioning"] == KINDS
    inputs = {**make_inputs(), **CONDITIONS}
    assert torch.equal(model(**inputs).sample, again(**inputs).sample)
    built: Any = VideoTransformer.from_config(model.config)
    built.load_state_dict(model.state_dict(), strict=True)


def test_gradients_reach_every_module_also_when_checkpointing():
    model = make_tiny()
    for kind, options in KINDS.items():
        model.add_conditioning(kind, **options)
    wake(model)
    inputs = {**make_inputs(), **CONDITIONS}
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.enable_gradient_checkpointing()
        model.train().zero_grad()
        model(**inputs).sample.square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None and gradient.abs().max() > 0, name
        assert torch.equal(gradient, gradients[1][name]), name


@torch.no_grad()
def test_init_weights_makes_modules_fresh():
    model, inputs = make_tiny(), make_inputs()
    for kind, options in KINDS.items():
        model.add_conditioning(kind, **options)
    wake(model)
    model.init_weights()
    nn.init.normal_(model.proj_out.weight)
    assert torch.equal(model(**inputs).sample, model(**inputs, **CONDITIONS).sample)


@torch.no_grad()
def test_modules_take_the_type_of_the_model():
    model, inputs = make_tiny(), make_inputs()
    model.to(torch.bfloat16)  # type: ignore[reportCallIssue]
    model.add_conditioning("test_action")
    wake(model)
    assert model(**inputs, actions=CONDITIONS["actions"]).sample.dtype == torch.bfloat16


def test_bad_requests_are_refused():
    model = make_tiny()
    with pytest.raises(ValueError, match=r"no condition called .*'actions'"):
        model(**make_inputs(), actions=CONDITIONS["actions"])
    with pytest.raises(ValueError, match="registered as 'nothing'"):
        model.add_conditioning("nothing")
    with pytest.raises(ValueError, match=r"blocks \[3\]"):
        model.add_conditioning("test_action", blocks=[0, 3])
    with pytest.raises(ValueError, match="leave out 'blocks'"):
        model.add_conditioning("test_control", levels=[0], blocks=[0])
    model.add_conditioning("test_action")
    with pytest.raises(ValueError, match="already"):
        model.add_conditioning("test_action")
    with pytest.raises(ValueError, match="no name in the original format"):
        model.to_original()

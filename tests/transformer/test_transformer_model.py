"""What a user does with the model: train, adapt, fuse, checkpoint, compile; and what it refuses."""

import copy

import pytest
import torch
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from peft import LoraConfig, get_peft_model_state_dict
from tiny_transformers import TINY, make_inputs, make_tiny
from torch import nn

from vision.transformer import VideoTransformer


def gradients_of(model: VideoTransformer, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(**inputs).sample.float().square().mean().backward()
    return {
        name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None
    }


@pytest.mark.parametrize("variant", ["text", "image"])
def test_fused_projections_compute_the_same_and_keep_their_names(variant):
    model, inputs = make_tiny(variant), make_inputs(variant)
    names = list(model.state_dict())
    expected, gradients = model(**inputs).sample, gradients_of(model, inputs)
    model.fuse_projections()
    assert list(model.state_dict()) == names
    torch.testing.assert_close(model(**inputs).sample, expected, rtol=0, atol=1e-5)
    fused = gradients_of(model, inputs)
    assert fused.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(fused[name], gradient, rtol=1e-3, atol=1e-5, msg=name)
    model.unfuse_projections()
    assert torch.equal(model(**inputs).sample, expected)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_gradient_checkpointing_changes_no_bit(precision):
    model, inputs = make_tiny().train(), make_inputs()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        plain = gradients_of(model, inputs)
        model.enable_gradient_checkpointing()
        checkpointed = gradients_of(model, inputs)
    assert len(plain) == len(list(model.parameters()))
    for name, gradient in plain.items():
        assert torch.equal(gradient, checkpointed[name]), name


def test_every_linear_layer_takes_a_lora_that_starts_as_the_identity(tmp_path):
    model, inputs = make_tiny("image"), make_inputs("image")
    linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    assert {"blocks.0.attn1.to_out.0", "blocks.2.ffn.net.0.proj", "condition_embedder.time_proj"} < set(
        linears
    )
    with torch.no_grad():
        before = model(**inputs).sample
    model.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=linears))
    with torch.no_grad():
        assert torch.equal(model(**inputs).sample, before)
    gradients = gradients_of(model, inputs)
    assert len(gradients) == 2 * len(linears)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.1)
            assert "lora" in name
    with torch.no_grad():
        adapted = model(**inputs).sample
        half = model(**inputs, attention_kwargs={"scale": 0.5}).sample
    assert not torch.allclose(adapted, before, atol=1e-3) and not torch.allclose(half, adapted, atol=1e-3)
    model.save_lora_adapter(tmp_path, adapter_name="default")
    other = make_tiny("image")
    other.load_state_dict(
        {n.replace(".base_layer", ""): p for n, p in model.state_dict().items() if "lora" not in n}
    )
    other.load_lora_adapter(tmp_path / "pytorch_lora_weights.safetensors", prefix=None)  # type: ignore
    assert (
        get_peft_model_state_dict(other, adapter_name="default_0").keys()
        == get_peft_model_state_dict(model).keys()
    )
    with torch.no_grad():
        assert torch.equal(other(**inputs).sample, adapted)
    with pytest.raises(ValueError, match="merge or remove adapters"):
        model.fuse_projections()
    with pytest.raises(ValueError, match="original format"):
        model.to_original()


def test_blocks_compile_without_a_break():
    model, inputs = make_tiny(), make_inputs()
    with torch.no_grad():
        expected = model(**inputs).sample
    model.compile_repeated_blocks(backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).sample, expected, rtol=0, atol=1e-5)
    assert len(gradients_of(model, inputs)) == len(list(model.parameters()))


@pytest.mark.slow
def test_blocks_compile_to_code():
    model, inputs = make_tiny(), make_inputs()
    expected = model(**inputs).sample
    gradients = gradients_of(model, inputs)
    model.compile_repeated_blocks(fullgraph=True)
    torch.testing.assert_close(model(**inputs).sample, expected, rtol=0, atol=1e-4)
    for name, gradient in gradients_of(model, inputs).items():
        torch.testing.assert_close(gradient, gradients[name], rtol=1e-2, atol=1e-4, msg=name)


@torch.no_grad()
def test_init_weights_predicts_zero_and_repeats_with_the_seed():
    model, inputs = VideoTransformer(**TINY), make_inputs()
    model.init_weights()
    assert model(**inputs).sample.abs().max() == 0
    first = copy.deepcopy(model.state_dict())
    torch.manual_seed(1)
    model.init_weights()
    torch.manual_seed(1)
    again = make_tiny()
    again.load_state_dict(first)
    torch.manual_seed(1)
    again.init_weights()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    attention, time = (
        model.get_submodule("blocks.0.attn1.to_q"),
        model.condition_embedder.time_embedder.linear_2,
    )  # type: ignore
    assert attention.weight.abs().max() <= (6 / (48 + 48)) ** 0.5 and attention.bias.abs().max() == 0  # type: ignore
    assert 0.015 < time.weight.std() < 0.025


def test_a_few_steps_from_scratch_lower_the_loss_under_autocast():
    model, inputs = VideoTransformer(**TINY), make_inputs(batch=4, text_tokens=8)
    model.init_weights()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    target = torch.randn(4, 4, 3, 8, 6)
    losses = []
    for _ in range(12):
        with torch.autocast("cpu", torch.bfloat16):
            output = model(**inputs).sample
        loss = (output.float() - target).square().mean()
        loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@torch.no_grad()
def test_time_reaches_a_bfloat16_model_unrounded():
    # 997 and 999 are the same number in bfloat16.
    model, inputs = make_tiny(), make_inputs(batch=1)
    model.to(torch.bfloat16)  # type: ignore[reportCallIssue]
    outputs = [model(**{**inputs, "timestep": torch.tensor([time])}).sample for time in (997.0, 999.0)]
    assert not torch.equal(*outputs)


def test_a_grid_first_seen_in_inference_mode_can_be_trained_on():
    model, inputs = make_tiny(), make_inputs()
    with torch.inference_mode():
        model(**inputs)
    assert gradients_of(model, inputs)


@torch.no_grad()
def test_outputs_and_copies():
    model, inputs = make_tiny(), make_inputs()
    output = model(**inputs)
    assert isinstance(output, Transformer2DModelOutput)
    assert torch.equal(model(**inputs, return_dict=False)[0], output.sample)
    assert torch.equal(copy.deepcopy(model)(**inputs).sample, output.sample)
    # Samples of a batch do not see each other.
    alone = model(**{name: value[:1] for name, value in inputs.items()}).sample
    torch.testing.assert_close(alone, output.sample[:1], rtol=0, atol=1e-5)


def test_bad_inputs_are_refused():
    model, inputs = make_tiny(), make_inputs()
    with pytest.raises(ValueError, match=r"\(3, 7, 6\).*patch size"):
        model(**{**inputs, "hidden_states": torch.randn(2, 4, 3, 7, 6)})
    for shape in ((3,), (2, 5), (2, 3, 1)):
        with pytest.raises(ValueError, match=r"take \(2,\), \(2, 3\) or \(2, 36\)"):
            model(**{**inputs, "timestep": torch.zeros(shape)})
    with pytest.raises(ValueError, match="without image_dim"):
        model(**inputs, encoder_hidden_states_image=torch.randn(2, 5, 10))
    short = VideoTransformer(**{**TINY, "rope_max_seq_len": 3})
    with pytest.raises(ValueError, match="rope_max_seq_len = 3"):
        short(**inputs)
    with pytest.raises(ValueError, match="qk_norm"):
        VideoTransformer(**TINY, qk_norm=None)
    with pytest.raises(ValueError, match="even"):
        VideoTransformer(**{**TINY, "attention_head_dim": 23})

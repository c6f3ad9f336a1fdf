"""SCOPE's action module: its equations, what it leaves alone, what its options change."""

import pytest
import torch
from tiny_actions import (
    OPTIONS,
    action_module,
    fresh,
    make_acting,
    make_actions,
    make_video,
    module_context,
    reference,
    streams,
)
from tiny_transformers import make_tiny
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from vision.transformer import ActionModule, VideoTransformer

GRID = (6, 2, 3)


def tokens() -> torch.Tensor:
    return torch.randn(2, 36, 48)


@pytest.mark.parametrize("given", ["both", "sticks", "buttons"])
@torch.no_grad()
def test_equals_the_equations_of_the_release(given):
    model, x, actions = make_acting(std=0.5), tokens(), make_actions(6)
    rows = {name: stream for name, stream in streams(actions).items() if given in ("both", name)}
    output = action_module(model)(x, module_context(model, GRID, rows))
    expected = reference(action_module(model), x, 6, rows.get("sticks"), rows.get("buttons"))
    assert (expected - x).abs().max() > 1
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", [*OPTIONS, "action_adaln"])
@torch.no_grad()
def test_a_fresh_module_changes_no_bit_and_none_skips_a_trained_one(kind):
    model, video, actions = make_tiny(), make_video(4), make_actions(4)
    before = model(**video).sample
    name = "action_adaln" if kind == "action_adaln" else "action"
    model.add_conditioning(name, **OPTIONS.get(kind, {}))
    assert torch.equal(model(**video, actions=actions).sample, before)
    for part, parameter in model.named_parameters():
        if name in part:
            parameter.normal_(std=0.5)
    assert not torch.allclose(model(**video, actions=actions).sample, before, atol=1e-3)
    assert torch.equal(model(**video, actions=None).sample, before)
    # Zeros are a command like any other.
    still = {"sticks": torch.zeros(2, 13, 4), "buttons": torch.zeros(2, 13, 6)}
    assert not torch.allclose(model(**video, **still).sample, before, atol=1e-3)


@pytest.mark.parametrize("kind", OPTIONS)
@torch.no_grad()
def test_a_pixel_changes_only_itself_and_pixels_have_no_place(kind):
    model, x, actions = make_acting(**OPTIONS[kind]), tokens(), make_actions(6)
    module = action_module(model)
    context = module_context(model, GRID, streams(actions))
    output = module(x, context).unflatten(1, (6, 6))
    other = x.unflatten(1, (6, 6)).clone()
    other[:, 2, 4] += 1
    changed = module(other.flatten(1, 2), context).unflatten(1, (6, 6))
    difference = (changed - output).abs().amax(dim=(0, 3))  # (frames, pixels)
    assert (difference[:, 4] > 0).all() and difference[:, [0, 1, 2, 3, 5]].max() == 0
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = module(x.unflatten(1, (6, 6))[:, :, order].flatten(1, 2), context).unflatten(1, (6, 6))
    torch.testing.assert_close(shuffled, output[:, :, order], rtol=0, atol=1e-5)


@torch.no_grad()
def test_every_row_but_the_last_reaches_every_frame():
    model, video, actions = make_acting(), make_video(4), make_actions(4)
    output = model(**video, actions=actions).sample
    for row in (0, 5, 11):
        for stream in (actions.sticks, actions.buttons):
            stream[:, row] += 1
            change = (model(**video, actions=actions).sample - output).abs().amax(dim=(0, 1, 3, 4))
            stream[:, row] -= 1
            assert (change > 1e-4).all()
    actions.sticks[:, -1] += 1
    actions.buttons[:, -1] += 1
    assert torch.equal(model(**video, actions=actions).sample, output)


@pytest.mark.parametrize("kind", OPTIONS)
@torch.no_grad()
def test_only_differences_of_positions_matter(kind):
    # A stream may run for ever: no frame may tell its number from the rotary positions.
    model, x, actions = make_acting(std=0.5, **OPTIONS[kind]), tokens(), make_actions(6)
    rows = streams(actions)
    first = action_module(model)(x, module_context(model, GRID, rows))
    later = action_module(model)(x, module_context(model, GRID, rows, start=1000))
    torch.testing.assert_close(later, first, rtol=0, atol=2e-4)


@torch.no_grad()
def test_held_buttons_move_every_pixel_alike_unless_there_is_a_null_key():
    x, held = tokens(), torch.zeros(2, 21, 6)
    held[:, :, 0] = 1
    spread = {}
    for null_key in (False, True):
        model = make_acting(std=0.5, null_key=null_key)
        moved = action_module(model)(x, module_context(model, GRID, {"buttons": held})) - x
        assert moved.abs().max() > 0.1
        spread[null_key] = moved.std(dim=1).max().item()
    assert spread[False] < 1e-5 and spread[True] > 1e-2


@torch.no_grad()
def test_a_token_a_button_tells_buttons_apart_that_are_pressed_in_turn():
    model, x = make_acting(std=0.5, one_token_a_button=True), tokens()
    outputs = []
    for button in range(6):
        pressed = torch.zeros(2, 21, 6)
        pressed[:, 8, button] = 1
        outputs.append(action_module(model)(x, module_context(model, GRID, {"buttons": pressed})))
    for first in range(6):
        for second in range(first):
            assert (outputs[first] - outputs[second]).abs().max() > 1e-3


@torch.no_grad()
def test_parallel_and_sequential_differ_at_second_order():
    x, actions = tokens(), make_actions(6)
    gaps = []
    for size in (0.0, 1e-2, 2e-2):
        torch.manual_seed(3)
        one, two = make_acting(), make_acting(parallel=True)
        two.load_state_dict(one.state_dict())
        outputs = []
        for model in (one, two):
            module = action_module(model)
            for out in (*module.sticks.to_out.parameters(), module.buttons.to_out.weight):
                out.mul_(size)
            context = module_context(model, GRID, streams(actions))
            outputs.append(module(x, context))
        gaps.append((outputs[0] - outputs[1]).abs().max().item())
    assert gaps[0] == 0
    assert 3 < gaps[2] / gaps[1] < 5


def test_options_are_saved(tmp_path):
    model = make_acting(blocks=[1], parallel=True, null_key=True)
    model.save_pretrained(tmp_path)
    again = VideoTransformer.from_pretrained(tmp_path)
    assert again.config["conditioning"] == {"action": {"blocks": [1], "parallel": True, "null_key": True}}
    assert action_module(again, 1).parallel and not any(
        "blocks.0.cond" in name for name in again.state_dict()
    )
    video, actions = make_video(3), make_actions(3)
    with torch.no_grad():
        outputs = [m(**video, actions=actions).sample for m in (model, again)]
    assert torch.equal(*outputs)


def test_width_below_the_models_saves_parameters():
    def count(width):
        # Heads of 24 channels and windows of 16 rows: 48 divides 96.
        return sum(p.numel() for p in action_module(make_acting(heads=4, width=width)).parameters())

    assert count(48) < 0.45 * count(96) and count(None) == count(96)
    with pytest.raises(ValueError, match="40 wide; expected a multiple of the heads' width 24"):
        make_acting(width=40)


def test_sizes_of_the_release():
    with torch.device("meta"):
        model = VideoTransformer(
            num_attention_heads=24,
            in_channels=48,
            out_channels=48,
            ffn_dim=14336,
            num_layers=30,
            conditioning={"action": {}},
        )
    module = action_module(model)
    parts = {
        "sticks": 19_083_264 + 37_767_168,
        "buttons": 38_400 + 4 * 9_437_184 + 6_144,
    }
    for name, expected in parts.items():
        assert sum(p.numel() for p in getattr(module, name).parameters()) == expected
    assert sum(p.numel() for p in module.parameters()) == 94_643_712
    # Beside what is released, the ten numbers of the null action.
    assert sum(p.numel() for p in model.parameters()) == 7_839_099_072 + 10


def test_fresh_weights():
    module = action_module(make_acting(null_key=True, one_token_a_button=True))
    assert isinstance(module, ActionModule)
    fresh(module)
    zero = {name for name, parameter in module.named_parameters() if not parameter.any()}
    biases = {name for name, _ in module.named_parameters() if name.endswith("bias")}
    outputs = {"sticks.to_out.0.weight", "buttons.to_out.weight", "buttons.null_key"}
    assert zero == biases | outputs
    weight = module.sticks.to_q.weight
    assert 0.9 < weight.abs().max() / (6 / 96) ** 0.5 <= 1
    assert (module.buttons.norm_k.weight == 1).all() and (module.sticks.norm.weight == 1).all()


@pytest.mark.parametrize("kind", ["released", "narrow"])
@torch.no_grad()
def test_forward_derivatives_pass_through(kind):
    model, video, actions = make_acting(**OPTIONS[kind]), make_video(4), make_actions(4)
    model.set_causal(2)
    model.requires_grad_(False)
    latents = video.pop("hidden_states")
    direction = torch.randn_like(latents)
    with sdpa_kernel(SDPBackend.MATH), forward_ad.dual_level():
        dual = model(forward_ad.make_dual(latents, direction), **video, actions=actions).sample
        tangent = forward_ad.unpack_dual(dual).tangent
    ahead, behind = (
        model(latents + step * direction, **video, actions=actions).sample for step in (0.01, -0.01)
    )
    torch.testing.assert_close(tangent, (ahead - behind) / 0.02, rtol=0, atol=5e-3)


def test_blocks_with_actions_compile_without_a_break():
    model, video, actions = make_acting(**OPTIONS["narrow"]), make_video(4), make_actions(4)
    model.set_causal(2, 3)
    expected = model(**video, actions=actions).sample
    torch.compiler.reset()  # sizes seen by other tests would make this one compile for any size
    model.compile_repeated_blocks(backend="aot_eager", fullgraph=True)
    output = model(**video, actions=actions).sample
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)
    output.square().mean().backward()
    assert action_module(model).buttons.null_key.grad.abs().max() > 0

"""Views of a shared base: each is the network that it would be alone, whatever the others do meanwhile."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from torch import Tensor, nn

from vision.distill.anchor import ANCHOR_SIGMA, AnchorAwareDenoiser
from vision.flow.evaluating import evaluating
from vision.lora.adapters import add_lora, lora_state_dict
from vision.lora.shared_base import AdapterView, base_of
from vision.transformer import VideoTransformer, VideoTransformerDenoiser


def video() -> nn.Module:
    torch.manual_seed(0)
    return VideoTransformer(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=16,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
    )


def stable_diffusion_3() -> nn.Module:
    torch.manual_seed(0)
    return SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        caption_projection_dim=16,
        pooled_projection_dim=8,
        pos_embed_max_size=8,
    )


def perceptron() -> nn.Module:
    """With dropout, and no class of diffusers."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Dropout(0.5), nn.Linear(8, 6))


def call_video(network: nn.Module, seed: int = 1) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    x, prompt = torch.randn(2, 4, 1, 8, 8, generator=draw), torch.randn(2, 5, 16, generator=draw)
    time = torch.tensor([250.0, 800.0])
    return network(hidden_states=x, timestep=time, encoder_hidden_states=prompt, return_dict=False)[0]


def call_sd3(network: nn.Module, seed: int = 1) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return network(
        hidden_states=torch.randn(2, 4, 8, 8, generator=draw),
        encoder_hidden_states=torch.randn(2, 5, 16, generator=draw),
        pooled_projections=torch.randn(2, 8, generator=draw),
        timestep=torch.tensor([250.0, 800.0]),
        return_dict=False,
    )[0]


def call_perceptron(network: nn.Module, seed: int = 1) -> Tensor:
    return network(torch.randn(3, 6, generator=torch.Generator().manual_seed(seed)))


Case = tuple[Callable[[], nn.Module], Callable[..., Tensor], list[str]]
VIDEO: Case = (video, call_video, ["to_q", "ffn.net.0.proj"])
SD3: Case = (stable_diffusion_3, call_sd3, ["to_q", "to_out.0", "ff.net.2"])
CASES: dict[str, Case] = {"video": VIDEO, "sd3": SD3, "perceptron": (perceptron, call_perceptron, ["0", "3"])}
every_kind = pytest.mark.parametrize("kind", CASES)
ROLES = {"student": 1, "fake": 2}


def move(network: nn.Module, seed: int) -> None:
    """Leaves what is trained as training would: away from its start."""
    draw = torch.Generator().manual_seed(seed)
    for _, parameter in sorted(network.named_parameters()):
        if parameter.requires_grad:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=draw)


def views_of(base: nn.Module, targets: list[str]) -> dict[str, AdapterView]:
    for name in ROLES:
        add_lora(base, 2, 4.0, targets, name)
    views = {name: AdapterView(base, name).requires_grad_(True).eval() for name in ROLES}
    return {**views, "teacher": AdapterView(base, None).eval()}


def shared(kind: str) -> dict[str, AdapterView]:
    """Student, fake and teacher over one network."""
    make, _, targets = CASES[kind]
    views = views_of(make(), targets)
    for name, seed in ROLES.items():
        move(views[name], seed)
    return views


def separate(kind: str) -> dict[str, nn.Module]:
    """The same three, each with a network of its own."""
    make, _, targets = CASES[kind]
    networks = {name: make().eval() for name in (*ROLES, "teacher")}
    for name, seed in ROLES.items():
        add_lora(networks[name], 2, 4.0, targets)
        move(networks[name], seed)
    return networks


def trained(network: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def gradients(network: nn.Module) -> dict[str, Tensor | None]:
    return {name: p.grad for name, p in trained(network).items()}


@every_kind
def test_each_view_is_the_network_that_it_would_be_alone(kind):
    views, networks, call = shared(kind), separate(kind), CASES[kind][1]
    with torch.no_grad():
        for name in ("student", "teacher", "fake", "student", "fake", "teacher"):
            assert torch.equal(call(views[name]), call(networks[name]))
    outputs = [call(network) for network in networks.values()]
    assert not any(torch.equal(outputs[i], outputs[i - 1]) for i in range(3))


@every_kind
def test_names_are_those_of_the_network_alone(kind):
    views, networks = shared(kind), separate(kind)
    for name in ROLES:
        assert dict(views[name].named_parameters()).keys() == trained(networks[name]).keys()
        torch.testing.assert_close(trained(views[name]), trained(networks[name]), rtol=0, atol=0)
    assert [name for name, _ in views["teacher"].named_parameters()] == [
        name for name, _ in networks["teacher"].named_parameters()
    ]
    assert not trained(views["teacher"])
    of_all = [p for view in views.values() for p in view.parameters()]
    assert {id(p) for p in of_all} == {id(p) for p in base_of(views["fake"]).parameters()}
    assert len({id(p) for p in of_all}) == len(of_all)


def test_a_view_s_weights_are_those_of_a_saved_adapter():
    views, networks = shared("video"), separate("video")
    found = lora_state_dict(networks["fake"], weights=dict(views["student"].named_parameters()))
    expected = lora_state_dict(networks["student"])
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)


@every_kind
def test_gradients_are_the_adapter_s_own_with_the_others_called_in_between(kind):
    views, networks, call = shared(kind), separate(kind), CASES[kind][1]
    for name in ("fake", "student"):
        loss = call(views[name], 1).square().mean() + call(views[name], 2).square().mean()
        with evaluating(views["teacher"]), evaluating(views["fake"]):
            call(views["teacher"])
            call(views["fake"])
        loss.backward()
        (call(networks[name], 1).square().mean() + call(networks[name], 2).square().mean()).backward()
        torch.testing.assert_close(gradients(views[name]), gradients(networks[name]), rtol=0, atol=0)
        base_of(views[name]).zero_grad()
    assert all(p.grad is None for view in views.values() for p in view.parameters())
    views["teacher"].requires_grad_(False)
    call(views["student"]).sum().backward()
    assert all(p.grad is not None for p in views["student"].parameters())
    assert all(p.grad is None for name in ("fake", "teacher") for p in views[name].parameters())
    assert all(p.requires_grad for name in ROLES for p in views[name].parameters())


@pytest.mark.parametrize("kind", ["video", "sd3"])
def test_recomputed_blocks_have_the_adapter_of_their_forward_pass(kind):
    call = CASES[kind][1]
    results = []
    for recompute in (False, True):
        views = shared(kind)
        for view in views.values():
            view.train()
            if recompute:
                view.enable_gradient_checkpointing()
        loss = call(views["student"]).square().mean() + call(views["fake"]).square().mean()
        for name in ("teacher", "fake"):
            with evaluating(views[name]):
                call(views[name])
        call(views["student"])
        loss.backward()
        results.append({name: gradients(views[name]) for name in ROLES})
    plain, recomputed = results
    for name in ROLES:
        assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in plain[name].values())
        torch.testing.assert_close(recomputed[name], plain[name], rtol=0, atol=0)


def test_a_view_is_in_its_own_mode():
    views = shared("perceptron")
    views["student"].train()
    with torch.no_grad():
        first, second = call_perceptron(views["student"]), call_perceptron(views["student"])
        assert not torch.equal(first, second)
        assert torch.equal(call_perceptron(views["teacher"]), call_perceptron(views["teacher"]))
        assert not torch.equal(call_perceptron(views["student"]), first)
        with evaluating(views["student"]):
            assert torch.equal(call_perceptron(views["student"]), call_perceptron(views["student"]))
        assert views["student"].training and not torch.equal(call_perceptron(views["student"]), first)


@pytest.mark.parametrize("kind", ["video", "perceptron"])
def test_the_base_keeps_the_adapter_that_was_active(kind):
    views, call = shared(kind), CASES[kind][1]
    base = base_of(views["student"]).eval()
    before = call(base)
    call(views["student"])
    call(views["teacher"])
    with pytest.raises((TypeError, RuntimeError)):
        views["student"](torch.zeros(1, 1))
    assert torch.equal(call(base), before)
    assert torch.equal(before, call(views["fake"]))  # the one added last


def test_attributes_are_the_base_s():
    view = shared("video")["student"]
    base = base_of(view)
    assert isinstance(base, VideoTransformer)
    assert view.config is base.config and view.dtype == torch.float32 and view.device.type == "cpu"
    assert view.blocks is base.blocks and view.condition_embedder is base.condition_embedder
    assert base_of(base) is base
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = view.nothing_such
    view.to(torch.float64)
    assert {p.dtype for p in base.parameters()} == {torch.float64}


def test_a_copy_of_the_views_shares_a_base_of_its_own():
    views = shared("perceptron")
    copies = copy.deepcopy(views)
    assert len({id(base_of(view)) for view in copies.values()}) == 1
    expected = call_perceptron(copies["student"])
    assert torch.equal(expected, call_perceptron(views["student"]))
    move(views["student"], 5)
    assert torch.equal(call_perceptron(copies["student"]), expected)


def test_an_anchor_of_the_fake_is_the_fake_s_alone():
    views = shared("video")
    denoisers = {name: VideoTransformerDenoiser(view) for name, view in views.items()}
    draw = torch.Generator().manual_seed(3)
    x, t = torch.randn(2, 4, 1, 8, 8, generator=draw), torch.tensor([0.3, 0.8])
    condition = {"encoder_hidden_states": torch.randn(2, 5, 16, generator=draw)}
    before = {name: denoiser.velocity(x, t, condition) for name, denoiser in denoisers.items()}
    names = {name: [key for key, _ in view.named_parameters()] for name, view in views.items()}

    fake = AnchorAwareDenoiser(denoisers["fake"])
    own = ["anchor_embedding.linear.weight", "anchor_embedding.linear.bias"]
    assert [key for key, _ in views["fake"].named_parameters()] == names["fake"] + own
    move(views["fake"].anchor_embedding, 4)
    informed = {**condition, ANCHOR_SIGMA: torch.tensor([0.2, 0.9])}
    velocity = fake.velocity(x, t, informed)
    assert not torch.equal(velocity, before["fake"])
    for name in ("student", "teacher"):
        assert torch.equal(denoisers[name].velocity(x, t, condition), before[name])
        assert [key for key, _ in views[name].named_parameters()] == names[name]
    velocity.square().mean().backward()
    assert all(g is not None and g.abs().sum() > 0 for g in gradients(views["fake"]).values())
    assert all(p.grad is None for p in views["student"].parameters())
    with pytest.raises(ValueError, match="already"):
        AnchorAwareDenoiser(denoisers["student"])


def test_compiled_blocks_know_the_adapters_apart():
    views, networks = shared("video"), separate("video")
    torch._dynamo.reset()
    base: Any = base_of(views["student"])
    base.compile_repeated_blocks(backend="aot_eager")
    for _ in range(2):
        for name in ("student", "teacher", "fake"):
            with torch.no_grad():
                torch.testing.assert_close(call_video(views[name]), call_video(networks[name]))
        for name in ROLES:
            call_video(views[name]).square().mean().backward()
            call_video(networks[name]).square().mean().backward()
            torch.testing.assert_close(gradients(views[name]), gradients(networks[name]))
    torch._dynamo.reset()


def test_what_cannot_be_a_view_is_refused():
    base = perceptron()
    with pytest.raises(ValueError, match=r"no adapter 'student' \(found none\).*add_lora"):
        AdapterView(base, "student")
    add_lora(base, 2, 4.0, ["0"], "student")
    view = AdapterView(base, "student")
    add_lora(base, 2, 4.0, ["3"], "fake")
    with pytest.raises(ValueError, match=r"got the adapter 'fake' since.*make views when all"):
        call_perceptron(view)
    with pytest.raises(KeyError, match="peft_config"):
        AdapterView(base, "student").add_module("peft_config", nn.Linear(1, 1))
    words = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4))
    add_lora(words, 2, 4.0, ["0", "1"], "student")
    with pytest.raises(ValueError, match=r"embedding layer 0.*target_modules"):
        AdapterView(words, "student")

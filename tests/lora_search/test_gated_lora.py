"""What a gated LoRA computes: identity, effective weight, gates, merging, the second stage."""

import pytest
import torch
from gated_networks import (  # pyright: ignore[reportMissingImports]
    EACH,
    TRANSFORMERS,
    gated,
    picture,
    run,
    shake,
    wan,
)
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from vision.lora import GatedLora, Selection, discover, inject, set_adapters
from vision.lora.adapters import lora_state_dict
from vision.lora.gate import Gate
from vision.lora.shared_base import AdapterView

FORMS = ["peft", "loralib"]


def set_alphas(lora: GatedLora, value: float | None = None) -> None:
    """Alphas to one value, or to values of both signs."""
    for number, alpha in enumerate(lora.alphas.values()):
        alpha.data.fill_((-1) ** number * (0.3 + number) if value is None else value)


@pytest.mark.parametrize("name", [*TRANSFORMERS, "peft", "loralib"])
def test_a_fresh_adapter_changes_no_bit_whatever_its_gates(name: str):
    network = TRANSFORMERS[name]() if name in TRANSFORMERS else picture()
    before = run(network)
    if name in TRANSFORMERS:
        lora = gated(network, "dit-family", trained=False)
    else:
        spec = ".*" if name == "peft" else EACH
        lora = gated(network, spec, trained=False, rank=4, conv_form=name)
    for alpha in (0.0, -3.0, 20.0):
        set_alphas(lora, alpha)
        assert torch.equal(run(network), before)
    trained = {id(p) for p in network.parameters() if p.requires_grad}
    assert trained == {id(p) for p in lora.parameters()}


@pytest.mark.parametrize("form", FORMS)
def test_gates_at_zero_give_the_base_whatever_the_weights(form: str):
    network = picture()
    before = run(network)
    lora = gated(network, EACH, conv_form=form)
    assert not torch.equal(run(network), before)
    now = run(network)
    with lora.silenced(lora.gates):
        assert torch.equal(run(network), before)
    assert torch.equal(run(network), now)
    set_adapters(network, "default", 0.0)
    assert torch.equal(run(network), before)
    set_adapters(network, [])
    assert torch.equal(run(network), before)
    set_adapters(network, "default")
    assert torch.equal(run(network), now)
    lora.remove()
    assert torch.equal(run(network), before)
    assert network.state_dict().keys() == picture().state_dict().keys()
    assert not hasattr(network, "peft_config")


def effective(lora: GatedLora, name: str, form: str, weight: Tensor, alpha: Tensor) -> Tensor:
    """W + sigmoid(alpha) lora_alpha / r view(B A), written out."""
    layer = lora.layers()[name]
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    if weight.dim() == 2 or form == "loralib":
        product = (b @ a).view(weight.shape)
    else:
        product = torch.einsum("orij,rcxy->ocxy", b, a)
    return weight + alpha.sigmoid() * lora.scale * product


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stride", [1, 2])
def test_the_layer_has_the_effective_weight(form: str, stride: int):
    layer = nn.Conv2d(3, 5, 3, stride=stride, padding=2, dilation=2, padding_mode="reflect").double()
    network = nn.Sequential(layer, nn.Flatten(2), nn.Linear(120 if stride == 1 else 30, 4).double())
    weights = {name: network.get_parameter(f"{name}.weight").detach().clone() for name in ("0", "2")}
    lora = gated(network, ".*", rank=3, conv_form=form, scale=1.5)
    assert [w.dtype for w in lora.weights] == [torch.float64] * 4
    x = torch.randn(2, 3, 12, 10, dtype=torch.float64)
    padded = nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")
    kernel, matrix = (effective(lora, n, form, w, lora.alphas[n]) for n, w in weights.items())
    hidden = conv2d(padded, kernel, layer.bias, stride=stride, dilation=2).flatten(2)
    expected = linear(hidden, matrix, network.get_parameter("2.base_layer.bias"))
    torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_the_scale_multiplies_the_update_and_the_rank_does_not(form: str):
    """In an affine network, where the answer moves in proportion to the update."""
    x = torch.randn(2, 3, 8, 8)

    def moved(scale: float, rank: int) -> Tensor:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3))
        before = network(x)
        lora = inject(network, discover(network, "0", rank=rank, conv_form=form), scale)  # pyright: ignore
        a, b = lora.weights
        with torch.no_grad():
            # An update that is the same at every rank: one factor, the others zero.
            a.zero_()
            b.zero_()
            a[: 3 if form == "loralib" else 1] = 0.1
            b[:, : 3 if form == "loralib" else 1] = 0.1
        return network(x) - before

    torch.testing.assert_close(moved(4.0, 2), 2 * moved(2.0, 2), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(moved(2.0, 6), moved(2.0, 2), rtol=1e-4, atol=1e-6)


def test_the_first_gradient_is_of_b_alone():
    network = picture()
    lora = gated(network, trained=False)
    found = torch.autograd.grad(run(network).square().sum(), lora.parameters())
    factors, alphas = found[: len(lora.weights)], found[len(lora.weights) :]
    assert all(not gradient.any() for gradient in (*alphas, *factors[0::2]))
    assert all(gradient.any() for gradient in factors[1::2])


@pytest.mark.parametrize("form", FORMS)
def test_a_gate_is_one_parameter_whose_gradient_is_the_sum_over_its_layers(form: str):
    network = picture().double()
    lora = gated(network, conv_form=form)
    set_alphas(lora)
    candidate = lora.candidates[0]
    alpha = lora.alphas[candidate.name]
    parts = [layer.lora_gate["default"].alpha for layer in lora.layers(candidate).values()]
    assert len(parts) == 2 and all(part is alpha for part in parts)
    assert sum(p is alpha for p in network.parameters()) == 1

    def loss() -> Tensor:
        return run(network).square().sum()

    (together,) = torch.autograd.grad(loss(), [alpha])
    apart = torch.zeros((), dtype=torch.float64)
    assert alpha.dtype == torch.float64, "as the base"
    for layer in lora.layers(candidate).values():
        own = Gate().double()
        own.alpha.data.copy_(alpha)
        layer.lora_gate["default"] = own
        apart = apart + torch.autograd.grad(loss(), [own.alpha])[0]
        layer.lora_gate["default"] = lora.gates[candidate.name]
    torch.testing.assert_close(together, apart, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_the_gradient_of_a_gate_is_the_derivative_of_the_loss(form: str):
    """dL/dalpha = sigmoid'(alpha) s <dL/dW', B A>, by differences and by the formula, in float64."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 3, 3)).double()
    plain = [network.get_parameter(f"{n}.weight").detach().clone() for n in "02"]
    lora = gated(network, {"both": "0|2"}, conv_form=form)
    gate = lora.gates["both"].double()
    alpha = gate.alpha
    alpha.data.fill_(0.4)
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)

    def loss() -> Tensor:
        return network(x).square().sum()

    (gradient,) = torch.autograd.grad(loss(), [alpha])
    step = 1e-5
    with torch.no_grad():
        alpha += step
        above = loss()
        alpha -= 2 * step
        below = loss()
        alpha += step
    torch.testing.assert_close(gradient, (above - below) / (2 * step), rtol=1e-6, atol=1e-6)

    kernels = [
        effective(lora, n, form, w, alpha).detach().requires_grad_() for n, w in zip("02", plain, strict=True)
    ]
    biases = [network.get_parameter(f"{n}.base_layer.bias") for n in "02"]
    hidden = conv2d(x, kernels[0], biases[0], padding=1).tanh()
    by_kernel = torch.autograd.grad(conv2d(hidden, kernels[1], biases[1]).square().sum(), kernels)
    g = alpha.sigmoid()
    # effective - W = g s B A, and sigmoid' = g (1 - g).
    products = [(k - w) / g for k, w in zip(kernels, plain, strict=True)]
    formula = sum(g * (1 - g) * (d * p).sum() for d, p in zip(by_kernel, products, strict=True))
    torch.testing.assert_close(gradient, formula, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["ours", "sd3", "peft", "loralib"])
def test_merged_it_gives_the_same_and_unmerged_the_same_bits(name: str):
    network = TRANSFORMERS[name]() if name in TRANSFORMERS else picture()
    spec, form = ("dit-family", "peft") if name in TRANSFORMERS else (EACH, name)
    lora = gated(network, spec, conv_form=form)
    set_alphas(lora)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    apart = run(network)
    assert lora.merge() is network
    together = run(network)
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5 * apart.abs().max().item())
    for act in (lora.merge, lambda: lora.save("never.safetensors"), lora.relative_norms):
        with pytest.raises(ValueError, match="merged into the base; call unmerge"):
            act()
    lora.unmerge()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(run(network), apart)
    with pytest.raises(ValueError, match="not merged"):
        lora.unmerge()
    lora.merge(permanent=True)
    assert torch.equal(run(network), together)
    assert not any("lora" in key for key in network.state_dict())


def test_groups_are_run_but_not_merged():
    network = picture()
    before = run(network)
    lora = gated(network, "grouped|mix", rank=4)
    assert not torch.equal(run(network), before)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match="grouped, a convolution of 4 groups, cannot be merged"):
        lora.merge()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("form", FORMS)
def test_norms_are_those_of_the_updates(form: str):
    network = picture()
    plain = {name.removesuffix(".weight"): p.detach().clone() for name, p in network.named_parameters()}
    lora = gated(network, conv_form=form)
    set_alphas(lora)
    for candidate in lora.candidates:
        update = weight = 0.0
        for name in candidate.layers:
            whole = effective(lora, name, form, plain[name], lora.alphas[candidate.name])
            update += (whole - plain[name]).square().sum().item()
            weight += plain[name].square().sum().item()
        assert lora.relative_norms()[candidate.name] == pytest.approx((update / weight) ** 0.5, rel=1e-4)


@pytest.mark.parametrize("name", ["ours", "peft", "loralib"])
def test_the_second_stage_begins_where_the_others_are_silent(name: str):
    network = TRANSFORMERS[name]() if name in TRANSFORMERS else picture()
    spec = "dit-family" if name in TRANSFORMERS else EACH
    lora = gated(network, spec, conv_form="peft" if name in TRANSFORMERS else name)
    set_alphas(lora)
    names = list(lora.gates)
    chosen = Selection((names[3], names[0]))
    gates = {name: lora.gates[name]().item() for name in chosen.names}
    with lora.silenced([name for name in names if name not in chosen.names]):
        expected = run(network)
    kept = lora.keep(chosen)
    torch.testing.assert_close(run(network), expected, rtol=0, atol=1e-6)
    assert {name: gate().item() for name, gate in kept.gates.items()} == gates
    assert {id(p) for p in network.parameters() if p.requires_grad} == {id(p) for p in kept.parameters()}
    assert kept.record["selection"]["names"] == list(chosen.names)
    adapted = {key.rpartition(".lora_A")[0] for key in network.state_dict() if ".lora_A" in key}
    assert adapted == {layer for c in kept.candidates for layer in c.layers}


def test_policies_of_the_gates():
    for policy, trained in (("keep", 1), ("freeze", 0), ("one", 0)):
        network = picture()
        lora = gated(network)
        set_alphas(lora)
        value = lora.gates["block2"]().item()
        kept = lora.keep(Selection(("block2",)), gate=policy)  # pyright: ignore[reportArgumentType]
        assert kept.gates["block2"]().item() == (1.0 if policy == "one" else value)
        assert len(kept.alphas) == trained
        # Switching adapters sets what is trained; a gate that is left alone stays so.
        set_adapters(network, "default")
        assert len(kept.alphas) == trained
    with pytest.raises(ValueError, match="gate policy 'open' does not exist; use one of keep"):
        kept.keep(Selection(("block2",)), gate="open")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="the selection is empty"):
        kept.keep(Selection(()))
    with pytest.raises(ValueError, match="'block1' is no candidate; found block2"):
        kept.keep(Selection(("block1",)))


def test_domains_are_switched_and_mixed():
    alone = {}
    for name, seed in (("day", 1), ("night", 2)):
        network = picture()
        gated(network, ".*conv1" if name == "day" else ".*", adapter_name=name, seed=seed, rank=4)
        alone[name] = run(network)
    network = picture()
    base = run(network)
    gated(network, ".*conv1", adapter_name="day", seed=1, rank=4)
    frozen = [p.detach().clone() for p in network.parameters()]
    night = gated(network, ".*", adapter_name="night", seed=2, rank=4, trained=False)
    for own, before in zip([p for p in network.parameters() if not p.requires_grad], frozen, strict=True):
        assert torch.equal(own, before)
    shake(network, adapters_only=True)
    for name, expected in alone.items():
        set_adapters(network, name)
        torch.testing.assert_close(run(network), expected, rtol=0, atol=1e-6)
    set_adapters(network, ["day", "night"], [0.0, 1.0])
    torch.testing.assert_close(run(network), alone["night"], rtol=0, atol=1e-6)
    set_adapters(network, ["day", "night"], [1.0, 0.5])
    assert not torch.equal(run(network), alone["night"])
    night.remove()
    set_adapters(network, "day")
    torch.testing.assert_close(run(network), alone["day"], rtol=0, atol=1e-6)
    set_adapters(network, [])
    assert torch.equal(run(network), base)
    with pytest.raises(ValueError, match=r"no adapter 'dusk' \(found \['day'\]\)"):
        set_adapters(network, "dusk")
    with pytest.raises(ValueError, match="2 weights were given for 1 adapters"):
        set_adapters(network, "day", [1.0, 2.0])


def test_a_view_of_a_shared_base_has_its_gates():
    network = wan()
    lora = gated(network, "dit-block")
    set_alphas(lora)
    expected, view, base = run(network), AdapterView(network, "default"), AdapterView(network, None)
    assert {id(p) for p in view.parameters()} == {id(p) for p in lora.parameters()}
    assert not {id(p) for p in base.parameters()} & {id(p) for p in lora.parameters()}
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(2, 4, 1, 8, 8, generator=draw), torch.tensor([250.0, 800.0])
    assert torch.equal(view(*inputs, torch.randn(2, 5, 16, generator=draw), return_dict=False)[0], expected)


def test_a_base_in_bfloat16_answers_in_bfloat16():
    network = picture().bfloat16()
    lora = gated(network)
    assert run(network).dtype == torch.bfloat16
    assert all(weight.dtype == torch.float32 for weight in lora.weights)


def test_injecting_leaves_the_random_state_and_refuses_mistakes():
    network = picture()
    state = torch.get_rng_state()
    lora = gated(network, trained=False)
    assert torch.equal(torch.get_rng_state(), state)
    block1, block2 = lora.candidates
    with pytest.raises(ValueError, match="already has an adapter 'default'"):
        inject(network, [block1])
    for candidates, message in (([], "no candidates"), ([block1, block1], "two candidates have one name")):
        with pytest.raises(ValueError, match=message):
            inject(network, candidates, adapter_name="other")
    overlapping = [*discover(network, ".*conv1"), block2]
    with pytest.raises(ValueError, match=r"block2\.conv1 is in two candidates"):
        inject(network, overlapping, adapter_name="other")
    with pytest.raises(
        ValueError, match=r"has gates, which this form leaves out; save it with GatedLora\.save"
    ):
        lora_state_dict(network)
    with pytest.raises(ValueError, match="must begin at a finite alpha"):
        Gate(float("inf"))

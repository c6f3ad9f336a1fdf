"""CDM of the shared transformer: adapters, low precision, DDP and shards."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from toy_denoisers import (
    LATENTS,
    assert_all_close,
    embedding_of,
    gradients,
    transformer_cdm,
    transformer_prompts,
)

from train.methods.cdm import CDM
from train.recipes.cdm import CDMSettings
from train.sharding import full, make_mesh, shard_network
from vision.flow.draws import Draws

BATCH = 4
DRAWS = Draws(7, 3, 0, BATCH)


def iterate(method: CDM, optimizer: type[torch.optim.Optimizer] = torch.optim.SGD) -> list[dict[str, float]]:
    """A few iterations; returns the parts of each loss."""
    optimizers = {
        name: optimizer([p for p in network.parameters() if p.requires_grad], lr=1e-2)  # pyright: ignore
        for name, network in method.networks.items()
    }
    parts = []
    for step in range(4):
        draws = Draws(7, step, 0, BATCH)
        for name, thunk in method.losses(transformer_prompts(BATCH), draws).items():
            optimizers[name].zero_grad()
            loss = thunk()
            assert loss.value.dtype == torch.float32 and loss.value.isfinite()
            loss.value.backward()
            optimizers[name].step()
            method.updated(name)
            parts.append({key: float(value) for key, value in loss.parts.items()})
    return parts


@pytest.mark.parametrize("anchor_aware", [False, True])
@pytest.mark.parametrize("lora", [False, True])
def test_it_trains_what_requires_a_gradient_and_nothing_else(lora, anchor_aware):
    method = transformer_cdm(lora, anchor_aware=anchor_aware)
    networks = {**method.networks, **method.frozen}
    before = {name: copy.deepcopy(network.state_dict()) for name, network in networks.items()}
    parts = iterate(method, torch.optim.Adam)
    assert {"loss_fake", "rollout_length"} == parts[0].keys()
    student = {"loss_guidance", "loss_matching", "loss_off_trajectory", "gap_matching", "gap_off_trajectory"}
    assert student == parts[2].keys()

    for name, network in networks.items():
        trained = {n for n, p in network.named_parameters() if p.requires_grad}
        after = network.state_dict()
        changed = {key for key in after if not torch.equal(after[key], before[name][key])}
        assert changed == trained
        if name == "teacher":
            assert not changed
        elif lora:
            assert all("lora_" in key or key.startswith("anchor_embedding") for key in changed)


def test_adapters_merge_and_the_frozen_base_does_not():
    method = transformer_cdm(lora=True, fake_merge=0.5, anchor_aware=True)
    student, fake = (dict(method.networks[name].named_parameters()) for name in ("student", "fake"))
    with torch.no_grad():
        for parameter in [*student.values(), *fake.values()]:
            parameter.normal_()
    before = {name: parameter.detach().clone() for name, parameter in fake.items()}
    method.updated("fake")
    for name, parameter in fake.items():
        if "lora_" in name:
            torch.testing.assert_close(parameter.detach(), (before[name] + student[name].detach()) / 2)
        else:
            assert torch.equal(parameter, before[name])


def test_a_whole_fake_of_a_student_with_an_adapter_is_an_error():
    lora, whole = transformer_cdm(lora=True), transformer_cdm()
    with pytest.raises(ValueError, match="the same adapter"):
        CDM(
            lora.student,
            whole.fake,
            whole.teacher,
            settings=CDMSettings(),
            null_condition={},
            latent_shape=LATENTS,
        )


def test_a_teacher_in_bfloat16_gives_almost_the_same_loss():
    values = []
    for dtype in (torch.float32, torch.bfloat16):
        method = transformer_cdm()
        method.frozen["teacher"].to(dtype)
        loss = method.losses(transformer_prompts(BATCH), DRAWS)["student"]()
        assert loss.value.dtype == torch.float32
        loss.value.backward()
        values.append(loss.parts["loss_guidance"])
    assert values[0] != values[1]
    torch.testing.assert_close(*values, rtol=0.2, atol=0)


def test_autocast_of_a_thunk_keeps_the_gradients():
    """The rollout's copies of the weights, made without gradients, must not serve the training pass."""
    results = []
    for enabled in (False, True):
        method = transformer_cdm()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            # As a loop that updates the student alone would: rollout and training pass in one region.
            loss = method.losses(transformer_prompts(BATCH), DRAWS)["student"]()
        loss.value.backward()
        results.append(torch.cat([gradient.flatten() for gradient in gradients(method.networks["student"])]))
    assert torch.cosine_similarity(*results, dim=0) > 0.95


def test_recomputation_gives_the_same_gradients():
    results = []
    for recompute in (False, True):
        method = transformer_cdm(anchor_aware=True)
        for network in method.networks.values():
            network.train()
            if recompute:
                network.enable_gradient_checkpointing()  # pyright: ignore[reportCallIssue]
        for thunk in method.losses(transformer_prompts(BATCH), DRAWS).values():
            thunk().value.backward()
        results.append(gradients(method.networks["fake"]) + gradients(method.networks["student"]))
    assert_all_close(*results)


@pytest.fixture
def mesh():
    """One process is a group, so that wrapped networks are the real ones."""
    yield make_mesh(torch.device("cpu"))
    dist.destroy_process_group()


def weights_after(method: CDM, plain: dict[str, nn.Module]) -> list[torch.Tensor]:
    iterate(method)
    return [full(p.detach()) for network in plain.values() for p in network.parameters()]


@pytest.mark.parametrize("lora", [False, True])
def test_wrapped_in_ddp_it_follows_the_bare_networks(mesh, lora):
    options = {"lora": lora, "anchor_aware": True, "fake_merge": 0.9, "fake_on_off_trajectory": 0.5}
    bare = transformer_cdm(**options)
    expected = weights_after(bare, bare.networks)
    method = transformer_cdm(**options)
    plain = dict(method.networks)
    method.networks = {name: DistributedDataParallel(network) for name, network in plain.items()}
    assert_all_close(weights_after(method, plain), expected)


def test_sharded_it_follows_the_bare_networks(mesh):
    options = {"anchor_aware": True, "fake_merge": 0.9, "fake_on_off_trajectory": 0.5}
    bare = transformer_cdm(**options)
    expected = weights_after(bare, bare.networks)
    method = transformer_cdm(**options)
    for network in (*method.networks.values(), *method.frozen.values()):
        shard_network(network, mesh, bf16=False)
    assert_all_close(weights_after(method, method.networks), expected)
    assert embedding_of(method.networks["fake"]).linear.weight.device_mesh is not None  # pyright: ignore

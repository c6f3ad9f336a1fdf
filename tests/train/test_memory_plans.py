"""What each memory plan of a distillation trains, keeps and saves."""

import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from forked import run_forked
from pydantic import ValidationError
from tiny_distillation import SHAPE, TEXT, Samples, make_denoiser
from tiny_training import make_recipe, weights
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from train.data.batches import Batches
from train.data.order import EpochOrder
from train.estimate import Estimate, NetworkSize, estimate
from train.jobs.networks import distillation_networks
from train.loop import run_training
from train.methods.cdm import CDM
from train.previews import Preview
from train.recipes.cdm import CDMRecipe, CDMSettings
from train.recipes.distillation import MemoryPlan
from train.recipes.lora import LoRARecipe
from train.run_folder import RunFolder
from train.sharding import local
from vision.flow.denoiser import Condition, Denoiser
from vision.lora.adapters import add_lora, load_lora, save_lora
from vision.processes import process_state
from vision.transformer import VideoTransformer, VideoTransformerDenoiser

NAMES = ("student", "fake")
COPIES: dict[MemoryPlan, int] = {"full": 3, "lora_fake": 2, "lora": 1}
ADAPTERS = {"full": 0, "lora_fake": 1, "lora": 2}
LORA = LoRARecipe(rank=2, alpha=4.0, target_modules=["to_q", "to_v", "ffn.net.0.proj"])
# Inner sigmas are drawn by process: a fixed grid alone is the same on one process and on two.
FIXED: dict[str, Any] = {"fixed_grid": [1.0, 0.75, 0.5, 0.25], "fake_on_off_trajectory": 0.5}
METHODS: dict[str, dict[str, Any]] = {
    "full": {**FIXED, "fake_merge": 0.9},
    "lora": {**FIXED, "fake_merge": 0.9, "anchor_aware": True},
    "lora_fake": {**FIXED, "fake_merge": 1.0, "anchor_aware": True},
}


def make_cdm(
    networks: dict[str, nn.Module], kind: type[Denoiser] = VideoTransformerDenoiser, **settings: Any
) -> CDM:
    return CDM(
        *(kind(networks[name]) for name in (*NAMES, "teacher")),
        settings=CDMSettings(max_rollout_steps=4, **settings),
        null_condition={"encoder_hidden_states": torch.zeros(1, *TEXT)},
        latent_shape=SHAPE,
        shift=3.0,
    )


def train(output: Path, method: CDM, resume: str | None = None, preview: Any = None, **settings: Any):
    defaults = {"steps": 4, "warmup_steps": 0, "lr": 1e-3, "save_every": 2, "keep_last": 9, "batch_size": 8}
    recipe = make_recipe(output, **{**defaults, **settings})
    with RunFolder(output, resume) as folder:
        return run_training(
            method,
            Batches(Samples(), EpochOrder(24), recipe.seed),
            recipe,
            resolved_recipe={"train": recipe.model_dump(mode="json")},
            run=folder,
            ema_of=["student"],
            preview=preview,
        )


def planned(plan: Any) -> dict[str, nn.Module]:
    return distillation_networks(make_denoiser(0).network, plan, LORA, NAMES, seed=5)


def copied(make: Callable[[], nn.Module], lora: LoRARecipe = LORA) -> dict[str, nn.Module]:
    """What the plan ``lora`` trains, with a base of its own for each network."""
    networks = {name: make() for name in (*NAMES, "teacher")}
    for name in NAMES:
        add_lora(networks[name], lora.rank, lora.alpha, lora.target_modules, seed=5)
    return networks


def differing(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    assert found.keys() == expected.keys() and found
    return [name for name in found if not torch.equal(found[name], expected[name])]


def run(output: Path, plan: str, resume: str | None = None, **settings: Any) -> dict[str, np.ndarray]:
    result = train(output, make_cdm(planned(plan), **METHODS[plan]), resume, **settings)
    return {name: tensor.numpy() for name, tensor in weights(result).items()}


def on(world_size: int, output: Path, plan: str, **settings: Any) -> dict[str, np.ndarray]:
    return run_forked(run, output, plan, world_size=world_size, batch_size=8 // world_size, **settings)


def largest_difference(found: dict, expected: dict) -> float:
    assert found.keys() == expected.keys() and found
    return max(float(np.abs(found[name] - expected[name]).max()) for name in expected)


def files(run: Path, step: int) -> dict[str, bytes]:
    """What a checkpoint holds, but for what names the run."""
    folder = run / "checkpoints" / f"step-{step:08d}"
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    del found["recipe.yaml"], found["manifest.json"]
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, tuple[Path, dict[str, np.ndarray]]]:
    """Folder and weights of a run on one process, by plan."""
    folders = {plan: tmp_path_factory.mktemp(plan) / "run" for plan in COPIES}
    return {plan: (folder, on(1, folder, plan)) for plan, folder in folders.items()}


@pytest.mark.parametrize("plan", COPIES)
def test_all_networks_begin_as_the_teacher(plan):
    plain = make_denoiser(0)
    networks = planned(plan)
    draw = torch.Generator().manual_seed(0)
    x, t = torch.randn(2, *SHAPE, generator=draw), torch.tensor([0.3, 0.8])
    condition = {"encoder_hidden_states": torch.randn(2, *TEXT, generator=draw)}
    assert list(networks) == [*NAMES, "teacher"]
    for network in networks.values():
        velocity = VideoTransformerDenoiser(network).velocity(x, t, condition)
        assert torch.equal(velocity, plain.velocity(x, t, condition))
    shapes = {
        name: {key for key, p in n.named_parameters() if p.requires_grad} for name, n in networks.items()
    }
    assert not shapes["teacher"]
    assert (shapes["student"] == shapes["fake"]) == (plan != "lora_fake")
    if plan == "lora":
        torch.testing.assert_close(
            dict(networks["student"].named_parameters()),
            dict(networks["fake"].named_parameters()),
            rtol=0,
            atol=0,
        )


def test_adapters_of_one_base_train_as_adapters_of_copies_do(tmp_path):
    def train_again(name: str, **switches: Any) -> dict[str, Tensor]:
        return weights(train(tmp_path / name, make_cdm(planned("lora"), **METHODS["lora"]), **switches))

    copies = make_cdm(copied(lambda: make_denoiser(0).network), **METHODS["lora"])
    expected = weights(train(tmp_path / "copies", copies))
    assert any("anchor_embedding" in name for name in expected)
    assert differing(train_again("views"), expected) == []
    assert differing(train_again("recomputed", gradient_checkpointing=True), expected) == []
    with torch.compiler.set_stance("force_eager"):
        assert differing(train_again("compiled", compile=True), expected) == []
    # A block has two adapters and none, and each of these gets its share of torch's usual limit.
    assert torch._dynamo.config.recompile_limit >= 3 * 8


def test_the_exported_adapter_makes_the_teacher_the_student(tmp_path):
    method = make_cdm(planned("lora"), **METHODS["lora"])
    result = train(tmp_path / "run", method)
    plain, carrier = make_denoiser(0).network, make_denoiser(0).network
    add_lora(carrier, LORA.rank, LORA.alpha, LORA.target_modules)
    save_lora(tmp_path / "final", carrier, weights=result.weights("student", ema=False))
    load_lora(plain, tmp_path / "final")
    x, t = torch.ones(1, *SHAPE), torch.tensor([0.5])
    condition = {"encoder_hidden_states": torch.ones(1, *TEXT)}
    found = VideoTransformerDenoiser(plain).velocity(x, t, condition)
    assert torch.equal(found, method.student.velocity(x, t, condition))
    assert not torch.equal(found, method.teacher.velocity(x, t, condition))


def count_copies(output: Path, plan: str, sharding: str = "none") -> dict[str, Any]:
    """What is there in the middle of a run, in bfloat16.

    copies: of the base's weights, as the networks reach them, over all processes.
    alive: tensors with the shape of one of a block's matrices, or of its shard, whoever holds them.
    types: of the weights that the student trains and of the teacher's matrices.
    """
    method = make_cdm(planned(plan), **METHODS[plan])
    one = sum(p.numel() for p in make_denoiser(0).network.parameters())
    processes = process_state().num_processes if sharding == "fsdp2" else 1
    matrix = (32 // processes, 24)  # of ffn.net.0.proj, one in each block
    seen: list[dict[str, Any]] = []

    def look(step: int, networks: dict[str, nn.Module]) -> None:
        reached = {}
        for network in (*method.networks.values(), *method.frozen.values()):
            for name, parameter in network.named_parameters():
                shard = local(parameter.detach())
                if "lora_" not in name and "anchor" not in name and shard.numel():
                    reached[shard.untyped_storage().data_ptr()] = shard.numel()
        total = torch.tensor(float(sum(reached.values())))
        if sharding == "fsdp2":
            torch.distributed.all_reduce(total)
        gc.collect()
        tensors = [t for t in gc.get_objects() if isinstance(t, Tensor) and not isinstance(t, DTensor)]
        alive = {t.untyped_storage().data_ptr() for t in tensors if tuple(t.shape) == matrix}
        types = {str(p.dtype) for p in networks["student"].parameters() if p.requires_grad}
        types |= {str(p.dtype) for n, p in method.frozen["teacher"].named_parameters() if "ffn" in n}
        seen.append({"copies": total.item() / one, "alive": len(alive), "types": sorted(types)})

    switches = {"preview_every": 4, "mixed_precision": "bf16", "batch_size": 4, "sharding": sharding}
    train(output, method, preview=Preview(look), **switches)
    (counts,) = seen
    return counts


@pytest.mark.parametrize("plan", COPIES)
@pytest.mark.parametrize("sharding", ["none", "fsdp2"])
def test_as_many_copies_of_the_weights_are_alive_as_the_plan_says(tmp_path, plan, sharding):
    world_size = 2 if sharding == "fsdp2" else 1
    found = run_forked(count_copies, tmp_path / "run", plan, sharding=sharding, world_size=world_size)
    assert found["copies"] == COPIES[plan]
    # A trained copy has two moments of AdamW, and the student an average.
    trained = COPIES[plan] - 1
    assert found["alive"] == 2 * (COPIES[plan] + 2 * trained + (trained > 0))
    assert found["types"] == ["torch.bfloat16", "torch.float32"]


@pytest.mark.parametrize("plan", ["lora", "lora_fake"])
@pytest.mark.parametrize(
    "settings",
    [
        {"gradient_checkpointing": True},
        {"sharding": "fsdp2"},
        {"sharding": "fsdp2", "gradient_checkpointing": True},
    ],
)
def test_two_processes_follow_one(tmp_path, alone, plan, settings):
    found = on(2, tmp_path / "run", plan, **settings)
    assert largest_difference(found, alone[plan][1]) < 1e-5


@pytest.mark.parametrize("plan", COPIES)
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, alone, plan):
    folder, _ = alone[plan]
    on(1, tmp_path / "run", plan, resume=str(folder / "checkpoints" / "step-00000002"))
    found, expected = files(tmp_path / "run", 4), files(folder, 4)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []


def test_adapters_of_a_sharded_base_resume_on_another_number_of_processes(tmp_path, alone):
    on(2, tmp_path / "run", "lora", sharding="fsdp2")
    half = tmp_path / "run" / "checkpoints" / "step-00000002"
    found = on(1, tmp_path / "resumed", "lora", sharding="fsdp2", resume=str(half))
    assert largest_difference(found, alone["lora"][1]) < 1e-5


class SD3Denoiser(Denoiser):
    """diffusers' SD3 transformer of pictures."""

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        prompt = condition["encoder_hidden_states"]
        v = self.network(x_t[:, :, 0], prompt, prompt.mean(1), 1000 * t, return_dict=False)[0]
        return v[:, :, None].float()

    def time_embedder(self) -> nn.Module:
        return self.network.get_submodule("time_text_embed.timestep_embedder")


def make_sd3() -> nn.Module:
    torch.manual_seed(0)
    return SD3Transformer2DModel(
        sample_size=4,
        patch_size=2,
        in_channels=SHAPE[0],
        out_channels=SHAPE[0],
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=TEXT[1],
        caption_projection_dim=16,
        pooled_projection_dim=TEXT[1],
        pos_embed_max_size=4,
    )


def test_diffusers_own_networks_take_every_plan(tmp_path):
    lora = LoRARecipe(rank=2, alpha=4.0, target_modules=["to_q", "ff.net.2"])
    copies = make_cdm(copied(make_sd3, lora), SD3Denoiser, **METHODS["lora"])
    expected = weights(train(tmp_path / "copies", copies))
    for plan in COPIES:
        networks = distillation_networks(make_sd3(), plan, lora, NAMES, seed=5)
        begin = {f"{n}/False/{key}": p.clone() for n in NAMES for key, p in networks[n].named_parameters()}
        method = make_cdm(networks, SD3Denoiser, **METHODS[plan])
        found = weights(train(tmp_path / plan, method, gradient_checkpointing=True))
        assert all(torch.isfinite(value).all() for value in found.values())
        assert len(differing({name: found[name] for name in begin}, begin)) > 0.8 * len(begin)
        teacher = dict(networks["teacher"].named_parameters())
        assert differing(teacher, dict(make_sd3().named_parameters())) == []
        if plan == "lora":
            assert differing(found, expected) == []


def estimated(plan: Any) -> dict[str, Estimate]:
    with torch.device("meta"):
        transformer = VideoTransformer(num_attention_heads=2, attention_head_dim=12, ffn_dim=32, num_layers=2)
        networks = distillation_networks(transformer, plan, LORA, NAMES)
    recipe = make_recipe(Path("unused"))
    return {name: estimate(NetworkSize.of(network), None, recipe) for name, network in networks.items()}


@pytest.mark.parametrize("plan", COPIES)
def test_the_estimate_counts_shared_weights_once(plan):
    found = estimated(plan)
    whole = estimated("full")["teacher"].weights
    adapter = 4 * estimated("lora")["student"].trained
    assert (
        sum(network.weights for network in found.values()) == COPIES[plan] * whole + ADAPTERS[plan] * adapter
    )
    trained = COPIES[plan] - 1
    assert sum(network.moments for network in found.values()) == 2 * (
        trained * whole + ADAPTERS[plan] * adapter
    )


def recipe_of(**keys: Any) -> CDMRecipe:
    train = {"output": "runs/x", "steps": 4, "batch_size": 4, "lr": 1e-4, "save_every": 2}
    return CDMRecipe.model_validate({"recipe": "cdm", "train": train, "teacher": "t", "prompts": "p", **keys})


def test_a_plan_with_adapters_has_their_settings():
    assert recipe_of().memory == "full" and recipe_of().lora is None
    for plan in ("lora", "lora_fake"):
        assert recipe_of(memory=plan).lora == recipe_of(memory=plan, lora=None).lora == LoRARecipe()
        assert recipe_of(memory=plan, lora={"rank": 3}).lora == LoRARecipe(rank=3)
    with pytest.raises(ValidationError, match=r"memory is 'full', which trains no adapter.*memory: lora"):
        recipe_of(lora={"rank": 3})


def test_a_fake_that_is_an_adapter_does_not_follow_a_whole_student():
    assert recipe_of(memory="lora_fake").cdm.fake_merge == 1
    assert recipe_of(memory="lora_fake", cdm={"guidance_scale": 2.0}).cdm.fake_merge == 1
    assert recipe_of(memory="lora_fake", cdm=CDMSettings(guidance_scale=2.0)).cdm.fake_merge == 1
    assert recipe_of(memory="lora").cdm.fake_merge == recipe_of().cdm.fake_merge == 0.999
    for settings in ({"fake_merge": 0.999}, CDMSettings(fake_merge=0.999)):
        wanted = recipe_of(memory="lora_fake", cdm=settings).cdm
        assert wanted.fake_merge == 0.999
        with pytest.raises(ValueError, match="set fake_merge to 1"):
            make_cdm(planned("lora_fake"), fake_merge=wanted.fake_merge)

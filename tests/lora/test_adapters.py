"""LoRA: what is added, saved, loaded and refused."""

import json

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn

from vision.lora.adapters import LORA_FILE, add_lora, load_lora, lora_state_dict, save_lora
from vision.transformer import VideoTransformer

TINY = dict(  # noqa: C408
    patch_size=(1, 2, 2),
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


def transformer(kind: type = VideoTransformer) -> nn.Module:
    torch.manual_seed(0)
    return kind(**TINY).eval()


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 6)).eval()


def run(network: nn.Module) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        if isinstance(network, nn.Sequential):
            return network(torch.randn(3, 6, generator=draw))
        x = torch.randn(2, 4, 1, 8, 8, generator=draw)
        prompt = torch.randn(2, 5, 16, generator=draw)
        time = torch.tensor([250.0, 800.0])
        return network(hidden_states=x, timestep=time, encoder_hidden_states=prompt, return_dict=False)[0]


def train(network: nn.Module) -> None:
    """Leaves the adapter as training would: every weight away from its start."""
    draw = torch.Generator().manual_seed(2)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=draw)


def test_a_fresh_adapter_changes_no_bit_and_alone_is_trained():
    network = transformer()
    before = run(network)
    add_lora(network, rank=4, alpha=8.0)
    assert torch.equal(run(network), before)
    trained = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    # Query, key, value and output of two attentions and two feed-forward layers, A and B, in two blocks.
    assert len(trained) == 2 * (4 + 4 + 2) * 2
    assert all(".lora_" in name for name in trained)


def test_the_preset_takes_the_same_layers_of_diffusers_own_model():
    ours, theirs = transformer(), transformer(WanTransformer3DModel)
    add_lora(ours, rank=2, alpha=2.0)
    add_lora(theirs, rank=2, alpha=2.0)
    assert lora_state_dict(ours).keys() == lora_state_dict(theirs).keys()


def test_the_draw_depends_on_the_seed_alone():
    draws = []
    for ambient, seed in ((0, 5), (1, 5), (1, 6)):
        network = transformer()
        torch.manual_seed(ambient)
        state = torch.get_rng_state()
        add_lora(network, rank=4, alpha=8.0, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        draws.append(lora_state_dict(network)["blocks.0.attn1.to_q.lora_A.weight"])
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[1], draws[2])


@pytest.mark.parametrize(("make", "targets"), [(transformer, "attention+ffn"), (mlp, ["0", "2"])])
@settings(max_examples=5, deadline=None)
@given(rank=st.integers(1, 9), alpha=st.sampled_from([0.5, 3.0, 8.0, 128.0]))
def test_saved_and_loaded_it_gives_the_same_bits(tmp_path_factory, make, targets, rank, alpha):
    folder = tmp_path_factory.mktemp("lora")
    network = make()
    add_lora(network, rank, alpha, targets)
    train(network)
    save_lora(folder, network, {"seed": "42"})
    loaded = make()
    load_lora(loaded, folder)
    assert torch.equal(run(loaded), run(network))
    assert not torch.equal(run(loaded), run(make()))


def test_given_weights_are_saved_instead_of_the_networks_own(tmp_path):
    network = transformer()
    add_lora(network, rank=2, alpha=2.0)
    train(network)
    average = {name: 0.5 * p.detach() for name, p in network.named_parameters() if p.requires_grad}
    saved = lora_state_dict(network, weights=average)
    own = lora_state_dict(network)
    assert all(torch.equal(saved[key], 0.5 * own[key]) for key in own)
    with pytest.raises(ValueError, match=r"1 missing: blocks\.0\.attn1\.to_k\.lora_A\.weight"):
        lora_state_dict(network, weights={k: v for k, v in average.items() if "0.attn1.to_k.lora_A" not in k})


def test_the_header_carries_configuration_and_facts(tmp_path):
    network = transformer()
    add_lora(network, rank=4, alpha=6.0)
    path = save_lora(tmp_path / "new" / "folder", network, {"data": "prompts.txt"})
    assert sorted(file.name for file in path.parent.iterdir()) == [LORA_FILE]
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    settings = json.loads(header["lora_adapter_metadata"])
    assert (settings["transformer.r"], settings["transformer.lora_alpha"]) == (4, 6.0)
    assert header["data"] == "prompts.txt"


def test_a_second_adapter_stands_beside_the_first():
    network = transformer()
    add_lora(network, rank=2, alpha=2.0, adapter_name="student")
    add_lora(network, rank=3, alpha=2.0, adapter_name="fake")
    assert lora_state_dict(network, "student")["blocks.0.ffn.net.2.lora_A.weight"].shape[0] == 2
    assert lora_state_dict(network, "fake")["blocks.0.ffn.net.2.lora_A.weight"].shape[0] == 3
    with pytest.raises(ValueError, match="already has an adapter 'fake'"):
        add_lora(network, rank=2, alpha=2.0, adapter_name="fake")
    with pytest.raises(ValueError, match=r"no adapter 'default' \(found \['fake', 'student'\]\)"):
        lora_state_dict(network)


def test_names_that_fit_no_layer_are_refused():
    with pytest.raises(ValueError, match="nonsense"):
        add_lora(transformer(), rank=2, alpha=2.0, target_modules=["nonsense"])


def test_a_lora_of_another_network_is_refused_by_name(tmp_path):
    network = mlp()
    add_lora(network, rank=2, alpha=2.0, target_modules=["0", "2"])
    save_lora(tmp_path, network)
    with pytest.raises(ValueError, match=r"4 of no layer of it: transformer\.0\.lora_A\.weight"):
        load_lora(transformer(), tmp_path)
    wide = nn.Sequential(nn.Linear(6, 9), nn.SiLU(), nn.Linear(9, 6))
    with pytest.raises(ValueError, match=r"of another size: transformer\.0\.lora_B\.weight \(found \(8, 2\)"):
        load_lora(wide, tmp_path)
    assert not hasattr(wide, "peft_config"), "a refused file must leave the network as it was"


def test_a_truncated_file_is_refused(tmp_path):
    network = mlp()
    add_lora(network, rank=2, alpha=2.0, target_modules=["0"])
    path = save_lora(tmp_path, network)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_lora(mlp(), tmp_path)

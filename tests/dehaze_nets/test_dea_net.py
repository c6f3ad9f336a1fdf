"""DEA-Net: both forms, its names and sizes, and other people's files."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from vision.dehaze.clip_statistics import CLIP_MEAN, CLIP_STD
from vision.dehaze.dea_net import SEARCH_SPACE, DEANet
from vision.dehaze.dea_net_convolution import DetailConvolution
from vision.lora import discover


def by_definition(part: DetailConvolution, x: Tensor) -> Tensor:
    """The five convolutions one by one, each kernel written out by its nine places in row order."""
    weights = {name: value for name, value in part.named_parameters() if name.endswith("weight")}
    centre, horizontal, vertical, angular = (
        weights[f"conv1_{number}.conv.weight"].flatten(2) for number in range(1, 5)
    )
    kernels = [part.conv1_5.weight.flatten(2), centre.clone()]
    kernels[1][..., 4] = centre[..., 4] - centre.sum(2)
    for places, opposite, line in (((0, 3, 6), (2, 5, 8), horizontal), ((0, 1, 2), (6, 7, 8), vertical)):
        kernel = torch.zeros_like(centre)
        kernel[..., places], kernel[..., opposite] = line, -line
        kernels.append(kernel)
    kernels.append(angular - angular[..., [3, 0, 1, 6, 4, 2, 7, 8, 5]])
    biases = [value for name, value in part.named_parameters() if name.endswith("bias")]
    convolved = [F.conv2d(x, kernel.unflatten(2, (3, 3)), padding=1) for kernel in kernels]
    return sum(convolved) + sum(biases)[:, None, None]  # pyright: ignore


@torch.no_grad()
def test_a_detail_convolution_is_the_sum_of_five():
    part, x = DetailConvolution(6).double(), torch.randn(2, 6, 7, 9).double()
    torch.testing.assert_close(part(x), by_definition(part, x), rtol=0, atol=1e-12)


@torch.no_grad()
def test_differences_do_not_see_a_constant():
    part = DetailConvolution(4).double()
    nn.init.zeros_(part.conv1_5.weight)
    weight, _ = part.kernel()
    torch.testing.assert_close(weight.sum((2, 3)), torch.zeros(4, 4).double(), rtol=0, atol=1e-12)


@torch.no_grad()
def test_both_forms_give_the_same_picture():
    trained = DEANet(8, reparameterized=False).eval()
    for parameter in trained.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))
    fused, hazy = trained.fused(), torch.rand(2, 3, 24, 36)
    assert (fused(hazy) - trained(hazy)).abs().max() <= 1e-5
    assert not any(isinstance(part, DetailConvolution) for part in fused.modules())
    assert fused.config["reparameterized"] and not fused.training
    with pytest.raises(ValueError, match="re-parameterised already"):
        fused.fused()


def test_the_published_sizes():
    with torch.device("meta"):
        network, trained = DEANet(), DEANet(reparameterized=False)
    assert sum(parameter.numel() for parameter in network.parameters()) == 3_653_377
    # Two 3 x 3 and two 3-kernels with biases more in each of the 24 blocks.
    more = sum(2 * 9 * w * w + 2 * 3 * w * w + 4 * w for w in [32] * 8 + [64] * 8 + [128] * 8)
    assert sum(parameter.numel() for parameter in trained.parameters()) == 3_653_377 + more
    candidates = discover(network, SEARCH_SPACE, 8, "loralib")
    assert len(candidates) == 16 and sum(c.cost for c in candidates) == 405_504
    assert (
        sum(c.cost for c in candidates if c.name in ("level3_block1", "level3_block4", "level3_block8"))
        == 110_592
    )


@torch.no_grad()
def test_any_size_gives_that_size():
    network = DEANet(2).eval()
    for height in range(1, 41, 3):
        for width in (1, 2, 5, 15, 16, 17, 40):
            assert network(torch.rand(1, 3, height, width)).shape == (1, 3, height, width)
    whole = torch.rand(1, 3, 40, 40)
    # What is added beyond the edge is cut off again, and far from it changes nothing but the averages.
    assert network(whole[..., :37]).shape[-1] == 37


@torch.no_grad()
def test_the_input_is_normalised_once():
    raw = DEANet(2, image_mean=(0, 0, 0), image_std=(1, 1, 1)).eval()
    clip = DEANet(2).eval()
    clip.load_state_dict(raw.state_dict())
    hazy = torch.rand(1, 3, 16, 16)
    mean, std = (torch.tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    torch.testing.assert_close(clip(hazy), raw((hazy - mean) / std))


@torch.no_grad()
def test_a_saved_network_is_the_same(tmp_path: Path):
    network, hazy = DEANet(2).eval(), torch.rand(1, 3, 16, 20)
    network.save_pretrained(tmp_path)
    torch.testing.assert_close(DEANet.from_pretrained(tmp_path)(hazy), network(hazy))
    DEANet(4).save_config(tmp_path)
    with pytest.raises(ValueError, match=r"of another shape: down1\.0\.bias"):
        DEANet.from_pretrained(tmp_path)


@torch.no_grad()
@pytest.mark.parametrize("reparameterized", [True, False])
def test_released_files_load_in_either_form(tmp_path: Path, reparameterized: bool):
    network, hazy = DEANet(2, reparameterized).eval(), torch.rand(1, 3, 16, 20)
    file = tmp_path / "released.safetensors"
    save_file({f"module.{key}": value for key, value in network.state_dict().items()}, file)
    found = DEANet.from_released(file, "clip", base_dim=2)
    assert found.config["reparameterized"] == reparameterized
    torch.testing.assert_close(found(hazy), network(hazy))
    plain = DEANet.from_released(file, "none", base_dim=2)
    assert not torch.equal(plain(hazy), network(hazy))
    with pytest.raises(ValueError, match="of another shape"):
        DEANet.from_released(file, "clip", base_dim=4)


def test_the_names_are_those_of_the_released_files():
    names = set(DEANet(2, reparameterized=False).state_dict())
    assert names >= {
        *(
            "down1.0.weight",
            "down3.0.bias",
            "fe_level_2.weight",
            "up2.0.weight",
            "up3.0.bias",
            "mix1.conv.weight",
        ),
        *("level3_block8.conv1.conv1_1.conv.weight", "up_level1_block4.conv1.conv1_5.bias"),
        *(
            "level3_block1.ca.ca.0.weight",
            "level3_block1.ca.ca.2.bias",
            "mix2.sa.sa.weight",
            "mix2.pa.pa2.bias",
        ),
    }
    assert "down_level2_block4.conv1.weight" in DEANet(2).state_dict()


def test_a_pickle_is_refused_with_the_line_that_converts_it(tmp_path: Path):
    network, hazy = DEANet(2).eval(), torch.rand(1, 3, 16, 16)
    file = tmp_path / "best.pth"
    torch.save({"model": network.state_dict()}, file)
    with pytest.raises(ValueError, match="pickle, which is never read") as refusal:
        DEANet.from_released(file, "clip", base_dim=2)
    line = str(refusal.value).splitlines()[-1]
    exec(line.removeprefix('python -c "').removesuffix('"'), {})  # the line itself
    with torch.no_grad():
        converted = DEANet.from_released(file.with_suffix(".safetensors"), "clip", base_dim=2)
        torch.testing.assert_close(converted(hazy), network(hazy))


@pytest.mark.slow
@torch.no_grad()
def test_every_size_to_forty_gives_that_size():
    network = DEANet(2).eval()
    for height in range(1, 41):
        for width in range(1, 41):
            cleared = network(torch.rand(1, 3, height, width))
            assert cleared.shape == (1, 3, height, width) and cleared.isfinite().all()

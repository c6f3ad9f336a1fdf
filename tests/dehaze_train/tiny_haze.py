"""Tiny folders of hazy pictures, and recipes of runs on them that take a second."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from train import dehaze
from train.interrupts import RunInterrupted
from train.recipes.yaml_text import write_yaml
from vision import DehazePipeline
from vision.dehaze.dea_net import DEANet
from vision.media import to_image, write_image
from vision.transformer import VideoTransformer

TINY_FLOW = {
    "patch_size": [1, 4, 4],
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 6,
    "out_channels": 3,
    "text_dim": 8,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 1,
}


def clear_picture(seed: int, height: int = 26, width: int = 30) -> Tensor:
    """Smooth colours, in [0, 1], shape (3, height, width)."""
    noise = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, (height, width), mode="bilinear")[0]


def write_pairs(folder: Path, count: int, first: int = 0) -> Path:
    """Pairs with one transmission a picture, white airlight."""
    for number in range(first, first + count):
        clear = clear_picture(number)
        hazy = 0.4 * clear + 0.6 * 0.9
        write_image(to_image(2 * clear - 1), folder / "clear" / f"{number}.png")
        write_image(to_image(2 * hazy - 1), folder / "hazy" / f"{number}_grey.png")
    return folder


def save_base(folder: Path, kind: str) -> str:
    """A pipeline with a tiny random network: "dea_net" or "transformer"."""
    torch.manual_seed(0)
    if kind == "dea_net":
        network: Any = DEANet(2)
        with torch.no_grad():  # about grey, with some of what it sees
            network.up3[0].weight.mul_(5)
            network.up3[0].bias.fill_(0.5)
    else:
        network = VideoTransformer(**TINY_FLOW)
        torch.nn.init.normal_(network.proj_out.weight, std=0.02)
    DehazePipeline(network, noise_std=0.1, tile=32, overlap=8).save_pretrained(folder)
    return str(folder)


class OwnBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv2(torch.relu(self.conv1(x))))


def own_network() -> nn.Module:
    """A user's own network: what --model tiny_haze:own_network makes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), OwnBlock(4), OwnBlock(4), nn.Conv2d(4, 3, 1))


def train_section(output: Path, steps: int = 4) -> dict[str, Any]:
    return {
        "output": str(output),
        "seed": 3,
        "steps": steps,
        "batch_size": 3,
        "lr": 3e-2,
        "warmup_steps": 1,
        "mixed_precision": "no",
        "save_every": 2,
        "preview_every": 4,
        "log_every": 1,
        "tracker": "none",
    }


def recipe_of(
    kind: str, output: Path, data: Path, base: str = "", steps: int = 4, **sections: Any
) -> dict[str, Any]:
    """A recipe of train.dehaze of pairs; ``sections`` take the place of its own."""
    recipe: dict[str, Any] = {
        "recipe": f"dehaze_{kind}",
        "train": train_section(output, steps),
        "data": {"path": str(data / "train"), "held_out": str(data / "test"), "crop": 16},
        "preview": {"pictures": 2, "side": 24},
    }
    if kind == "pretrain":
        recipe["model"] = {"dea_net": {"base_dim": 2}}
    else:
        recipe |= {"model": {"base": base}, "loss": "paired"}
    if kind == "adapt":
        recipe["search"] = {"rank": 2, "alpha": 8.0, "steps": 3, "k": 2, "lr": 3e-2}
        recipe["search"] |= {"candidates": r"((?:down|up)_level1_block\d)\.conv[12]"}
    return {**recipe, **sections}


def run(recipe: dict[str, Any], *words: str) -> Path:
    """Runs the recipe, which must succeed; returns the run's folder."""
    assert main(recipe, *words) == 0
    return Path(recipe["train"]["output"])


def main(recipe: dict[str, Any], *words: str) -> int:
    """The exit status of train.dehaze with the recipe, also where its command line ends the program."""
    output = Path(recipe["train"]["output"])
    path = output.parent / f"{output.name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(write_yaml(recipe))
    try:
        return dehaze.main([str(path), *words])
    except RunInterrupted:
        raise
    except SystemExit as stopped:
        assert isinstance(stopped.code, int)
        return stopped.code

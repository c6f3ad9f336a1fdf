"""Peak memory of CDM by memory plan, each measured in a process of its own.

    python -m benchmarks.memory_plans

Random weights, few small samples, so that weights and what belongs to them make up the memory. On a CPU it is
the peak of the resident memory minus what was resident before the networks existed; on a GPU, the most that
torch allocated.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from benchmarks.resident_memory import resident_bytes
from benchmarks.transformer import table
from train.estimate import Load, NetworkSize, estimate, total_bytes
from train.jobs.networks import distillation_networks
from train.methods.cdm import CDM
from train.placement import place_networks
from train.recipes.cdm import CDMRecipe
from vision.flow.draws import Draws
from vision.processes import process_device
from vision.provenance import machine_facts
from vision.transformer import VideoTransformer, VideoTransformerDenoiser

RESULTS = Path(__file__).parent / "results" / "memory_plans.md"
PLANS = ("full", "lora_fake", "lora")
BATCH, TEXT = 4, (16, 384)  # samples; tokens and width of a prompt
LORA = {"rank": 16, "alpha": 32.0}
RECIPE: dict[str, Any] = {
    "recipe": "cdm",
    "teacher": "random weights",
    "prompts": "random embeddings",
    "train": {"output": "-", "steps": 4, "batch_size": BATCH, "lr": 1e-5, "save_every": 4},
    "cdm": {"fixed_grid": [1.0, 0.75, 0.5, 0.25]},
}


@dataclass(frozen=True)
class Size:
    """A model and the shape (C, F, H, W) of the latents that it is given, 64 tokens."""

    fields: dict[str, Any]
    latents: tuple[int, int, int, int]


SIZES = {
    "checkpoints/fashion-teacher's, 160 wide, 6 layers": Size(
        {
            "patch_size": (1, 4, 4),
            "num_attention_heads": 5,
            "attention_head_dim": 32,
            "in_channels": 1,
            "out_channels": 1,
            "ffn_dim": 640,
            "num_layers": 6,
        },
        (1, 1, 32, 32),
    ),
    "768 wide, 10 layers": Size(
        {
            "patch_size": (1, 2, 2),
            "num_attention_heads": 12,
            "attention_head_dim": 64,
            "ffn_dim": 3072,
            "num_layers": 10,
        },
        (16, 1, 16, 16),
    ),
}


def measure(size: Size, plan: str) -> dict[str, int]:
    """Bytes at the peak of a run, as ``--dry-run`` estimates them, and numbers of parameters."""
    accelerator = Accelerator(mixed_precision="no")
    train(size, plan, accelerator)  # libraries and their kernels, which stay, belong to no network
    gc.collect()
    _forget_peak(accelerator.device)
    before = resident_bytes("VmRSS")
    parameters, sizes, recipe = train(size, plan, accelerator)
    peak = _peak(accelerator.device, before)
    tokens = Load.of_latents(2 * BATCH, size.latents, size.fields["patch_size"], TEXT[0])
    kind = accelerator.device.type
    expected = {
        name: estimate(found, tokens, recipe.train, averaged=name == "student", device=kind)
        for name, found in sizes.items()
    }
    trained = sum(found.trained for found in sizes.values())
    return {"parameters": parameters, "trained": trained, "peak": peak, "estimate": total_bytes(expected)}


def train(size: Size, plan: str, accelerator: Accelerator) -> tuple[int, dict[str, NetworkSize], CDMRecipe]:
    """Four iterations, two of them with an update of the student."""
    recipe = CDMRecipe.model_validate({**RECIPE, "memory": plan, "lora": None if plan == "full" else LORA})
    device = accelerator.device
    torch.manual_seed(0)
    transformer = VideoTransformer(**size.fields, text_dim=TEXT[1])
    parameters = sum(p.numel() for p in transformer.parameters())
    networks = distillation_networks(transformer, recipe.memory, recipe.lora, recipe.networks)
    sizes = {name: NetworkSize.of(network) for name, network in networks.items()}
    student, fake, teacher = map(VideoTransformerDenoiser, networks.values())
    null = {"encoder_hidden_states": torch.zeros(1, *TEXT)}
    method = CDM(
        student, fake, teacher, settings=recipe.cdm, null_condition=null, latent_shape=size.latents, shift=3.0
    )
    trained = place_networks(method, recipe.train, accelerator, ema_of=["student"])
    for step in range(recipe.train.steps):
        batch = {"encoder_hidden_states": torch.randn(BATCH, *TEXT).to(device)}
        with torch.autocast(device.type, torch.bfloat16):
            losses = method.losses(batch, Draws(1, step, 0, BATCH))
        for name, compute in losses.items():
            with torch.autocast(device.type, torch.bfloat16):
                value = compute().value
            value.backward()
            trained[name].update(trained[name].gradient_norm())
            method.updated(name)
    return parameters, sizes, recipe


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")


def _peak(device: torch.device, before: int) -> int:
    return (
        torch.cuda.max_memory_allocated(device) if device.type == "cuda" else resident_bytes("VmHWM") - before
    )


def run_alone(size: str, plan: str, threads: int) -> dict[str, int]:
    """:func:`measure` in a fresh process, in which freed memory goes back to the system."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    # From 64 KiB on; glibc otherwise raises the bound as a program frees large blocks.
    environment["MALLOC_MMAP_THRESHOLD_"] = str(2**16)
    command = [sys.executable, "-m", "benchmarks.memory_plans", "--threads", str(threads)]
    done = subprocess.run(
        [*command, "--case", size, plan], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description="Peak memory of CDM by memory plan.")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch's threads")
    parser.add_argument("--output", type=Path, default=RESULTS, help="Markdown file to write")
    parser.add_argument("--case", nargs=2, metavar=("SIZE", "PLAN"), help="measure one, print it as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.case:
        size, plan = arguments.case
        print(json.dumps(measure(SIZES[size], plan)))
        return

    rows = []
    for size in SIZES:
        found = {plan: run_alone(size, plan, arguments.threads) for plan in PLANS}
        for plan, facts in found.items():
            cells = [
                f"{size}, {facts['parameters'] / 1e6:.1f}M",
                f"`{plan}`",
                f"{facts['trained'] / 1e6:.1f}M",
                f"{facts['peak'] / 2**20:,.0f} MiB",
                f"{facts['peak'] / found['full']['peak']:.2f}",
                f"{facts['estimate'] / 2**20:,.0f} MiB",
            ]
            rows.append(cells)
            print(" | ".join(cells), flush=True)
    head = ["transformer", "plan", "trained", "peak", "of `full`", "`--dry-run` says"]
    facts = {**machine_facts(process_device()), "threads": arguments.threads}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(
        "# Peak memory of CDM by memory plan\n\n"
        f"`python -m benchmarks.memory_plans {' '.join(sys.argv[1:])}".rstrip()
        + f"` on {', '.join(f'{name} {value}' for name, value in facts.items())}.\n\n"
        f"Four iterations of {BATCH} samples of 64 tokens and {TEXT[0]} prompt tokens, bf16 autocast, "
        "AdamW, a moving average of the student, LoRA of rank 16 on attention and feed-forward layers, the "
        "student updated in every second iteration, rollouts of four steps; each case in a process of its "
        "own that has run it once before. Peak: resident memory at most, minus what was resident before the "
        "networks existed (on a GPU: the most that torch allocated).\n\n"
        f"{table(head, rows)}\n"
    )
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()

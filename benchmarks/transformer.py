"""The shared transformer against diffusers' WanTransformer3DModel, with the same weights.

    python -m benchmarks.transformer

Both models run in turn in one process; a repetition gives one ratio of their times. bf16 means bfloat16
weights in the forward pass alone, and autocast over float32 weights in forward plus backward, which is how
the two are used.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch import nn

from vision.transformer import VideoTransformer

RESULTS = Path(__file__).parent / "results" / "transformer.md"
COMMON = {"text_dim": 384, "freq_dim": 256}
# What torch's operators are called, by what they are for; the rest is "other".
GROUPS = {
    "linear layers": ("aten::addmm", "aten::mm"),
    "attention": (
        "aten::bmm",
        "aten::baddbmm",
        "aten::_softmax",
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
        "aten::_softmax_backward_data",
    ),
    "GELU": ("aten::gelu", "aten::gelu_backward", "aten::sigmoid_", "TanhGelu", "TanhGeluBackward"),
    "layer norm": ("aten::native_layer_norm", "aten::native_layer_norm_backward"),
    "copies and casts": ("aten::copy_", "aten::cat", "aten::fill_", "aten::zero_"),
}


@dataclass(frozen=True)
class Size:
    """A model and the latents (B, C, F, H, W) and prompt (B, M, D) that it is given."""

    name: str
    fields: dict[str, Any]
    latents: tuple[int, ...]
    prompt_tokens: int


SIZES = (
    Size(
        "192 wide, 6 layers, 49 tokens, batch 64",
        {
            "patch_size": (1, 4, 4),
            "num_attention_heads": 4,
            "attention_head_dim": 48,
            "in_channels": 1,
            "out_channels": 1,
            "ffn_dim": 768,
            "num_layers": 6,
        },
        (64, 1, 1, 28, 28),
        16,
    ),
    Size(
        "512 wide, 8 layers, 1,280 tokens, batch 1",
        {"num_attention_heads": 8, "attention_head_dim": 64, "ffn_dim": 2048, "num_layers": 8},
        (1, 16, 5, 32, 32),
        77,
    ),
    Size(
        "1,024 wide, 6 layers, 1,280 tokens, batch 1",
        {"num_attention_heads": 8, "attention_head_dim": 128, "ffn_dim": 4096, "num_layers": 6},
        (1, 16, 5, 32, 32),
        77,
    ),
)


def make_run(model: nn.Module, size: Size, bf16: bool, backward: bool) -> Callable[[], None]:
    """One pass of ``model``, ready to be timed."""
    dtype = torch.bfloat16 if bf16 and not backward else torch.float32
    # A plain cast, of both models alike: diffusers' own keeps some layers of each in float32.
    nn.Module.to(model, dtype)
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(size.latents, generator=generator).to(dtype)
    prompt = torch.randn(size.latents[0], size.prompt_tokens, 384, generator=generator).to(dtype)
    timestep = 1000 * torch.rand(size.latents[0], generator=generator)

    def run() -> None:
        with torch.set_grad_enabled(backward):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16 and backward):
                output = model(latents, timestep, prompt, return_dict=False)[0]
            if backward:
                output.float().square().mean().backward()
        model.zero_grad(set_to_none=True)

    return run


def time_once(run: Callable[[], None]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def profile(run: Callable[[], None]) -> dict[str, float]:
    """Milliseconds of one call by group of operators."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        run()
    group_of = {name: group for group, names in GROUPS.items() for name in names}
    spent = dict.fromkeys([*GROUPS, "other"], 0.0)
    for event in profiler.key_averages():
        spent[group_of.get(event.key, "other")] += event.self_cpu_time_total / 1000
    return spent


def measure(sizes: list[Size], repetitions: int, warm_up: int) -> Iterator[tuple[list[str], list[list[str]]]]:
    """A row of the table of times, and the rows of the breakdown, for each case."""
    for size in sizes:
        torch.manual_seed(0)
        theirs = WanTransformer3DModel(**COMMON, **size.fields)
        ours = VideoTransformer(**COMMON, **size.fields)
        ours.load_state_dict(theirs.state_dict(), strict=True)
        for backward in (False, True):
            for bf16 in (False, True):
                case = f"{'forward + backward' if backward else 'forward'}, {'bf16' if bf16 else 'float32'}"
                runs = [make_run(model, size, bf16, backward) for model in (theirs, ours)]
                for _ in range(warm_up):
                    for run in runs:
                        run()
                times = [[time_once(run) for run in runs] for _ in range(repetitions)]
                ratios = sorted(first / second for first, second in times)
                theirs_ms, ours_ms = (1000 * statistics.median(column) for column in zip(*times, strict=True))
                low, _, high = statistics.quantiles(ratios, n=4) if repetitions > 1 else 3 * ratios
                row = [
                    size.name,
                    case,
                    f"{theirs_ms:.0f}",
                    f"{ours_ms:.0f}",
                    f"**{statistics.median(ratios):.2f}**",
                    f"{low:.2f} to {high:.2f}",
                ]
                print(" | ".join(row), flush=True)
                breakdown = []
                if bf16:
                    for name, run in zip(("diffusers", "ours"), runs, strict=True):
                        spent = profile(run)
                        breakdown.append(
                            [size.name, case, name, *(f"{value:.0f}" for value in spent.values())]
                        )
                yield row, breakdown


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def machine() -> str:
    """Processor, as the system names it."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()


def main() -> None:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description="VideoTransformer against diffusers' Wan transformer.")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch's threads")
    parser.add_argument("--repetitions", type=int, default=15, help="ratios a case")
    parser.add_argument("--warm-up", type=int, default=3, help="untimed passes before them")
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 1, 2], choices=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=RESULTS, help="Markdown file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    diffusers.utils.logging.set_verbosity_error()

    rows, breakdowns = [], []
    for row, breakdown in measure(
        [SIZES[number] for number in arguments.sizes], arguments.repetitions, arguments.warm_up
    ):
        rows.append(row)
        breakdowns += breakdown
    times = table(["model", "pass", "diffusers, ms", "ours, ms", "ratio", "middle half"], rows)
    where = table(["model", "pass", "of", *GROUPS, "other"], breakdowns)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(
        "# VideoTransformer against diffusers' WanTransformer3DModel\n\n"
        f"`python -m benchmarks.transformer {' '.join(sys.argv[1:])}".rstrip()
        + f"` on {machine()}; {arguments.threads} threads; Python {platform.python_version()}, "
        f"torch {torch.__version__}, diffusers {diffusers.__version__}.\n\n"
        "The same weights, both models in turn in one process. Times are medians; a ratio is diffusers' "
        f"time by ours, the median of {arguments.repetitions} pairs with its middle half. bf16: bfloat16 "
        "weights in the forward pass, autocast over float32 weights in forward plus backward.\n\n"
        f"{times}\n\n## Where the time goes\n\nMilliseconds of one profiled pass.\n\n{where}\n"
    )
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()

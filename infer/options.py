"""The command line of batch inference. Imports nothing heavy."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vision.command_line import at_least_one


@dataclass(frozen=True)
class Lora:
    """A LoRA and how much of it.

    Attributes:
        source: its folder, or the file itself.
        scale: what its update of the weights is multiplied by.
    """

    source: Path
    scale: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "Lora":
        """Reads ``DIR`` or ``DIR=SCALE``; a path that exists is never split."""
        head, separator, tail = text.rpartition("=")
        if not separator or Path(text).exists():
            return cls(Path(text))
        try:
            return cls(Path(head), float(tail))
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"found {text!r}, expected a folder or file, or one with its scale such as {head}=0.8"
            ) from None


@dataclass(frozen=True)
class Options:
    """What the command line of ``infer.generate`` says; see its ``--help``."""

    model: str
    prompts: Path
    out: Path
    images_per_prompt: int
    batch_size: int
    steps: int | None
    sigmas: list[float] | None
    guidance_scale: float | None
    negative_prompt: str
    height: int | None
    width: int | None
    num_frames: int | None
    frame_rate: float
    seed: int
    lora: list["Lora"]
    merge_lora: bool
    dtype: str | None
    device: str | None


def parse_options(argv: Sequence[str] | None) -> Options:
    """Reads the command line; a mistake ends the program with a message and exit status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m infer.generate",
        description="Draws pictures or videos for every prompt of a file. Each depends on the seed, its "
        "prompt and its number alone, whatever the batch size and the number of processes. The same command "
        "goes on where an earlier one stopped.",
        epilog="Several processes: accelerate launch -m infer.generate ... or torchrun --nproc_per_node N -m "
        "infer.generate ...",
    )
    add = parser.add_argument
    add("--model", required=True, help="folder of a pipeline, or hub id")
    add("--prompts", required=True, type=Path, help='prompt file: one a line, or JSONL with "prompt"')
    add("--out", required=True, type=Path, help="folder for PNG files, pictures.jsonl and overview.png")
    add("--images-per-prompt", type=at_least_one, default=1, metavar="N", help="default 1")
    add("--batch-size", type=at_least_one, default=8, metavar="B", help="pictures at once; default 8")
    add("--steps", type=at_least_one, metavar="N", help="sampling steps; default the model's own")
    add(
        "--sigmas", type=_numbers, metavar="S,S,...", help="own grid before the time shift, e.g. 1,.75,.5,.25"
    )
    add("--guidance-scale", type=float, metavar="G", help="1 is no guidance; default the model's own")
    add("--negative-prompt", default="", metavar="TEXT", help='what guidance leads away from; default ""')
    add("--height", type=at_least_one, metavar="PIXELS", help="default the model's own")
    add("--width", type=at_least_one, metavar="PIXELS", help="default the model's own")
    add("--num-frames", type=at_least_one, metavar="N", help="of a video; default the model's own")
    add("--frame-rate", type=float, default=16.0, metavar="R", help="frames a second of videos; default 16")
    add("--seed", type=int, default=0, help="default 0")
    add(
        "--lora",
        type=Lora.parse,
        action="append",
        default=[],
        metavar="DIR[=SCALE]",
        help="folder with pytorch_lora_weights.safetensors, or the file; repeat for several",
    )
    add("--merge-lora", action="store_true", help="add the LoRAs to the weights before drawing: faster")
    add("--dtype", choices=("float32", "bfloat16", "float16"), help="default bfloat16 on CUDA, else float32")
    add("--device", help="cpu, cuda, cuda:1, mps, ...; default the best there is")
    options = Options(**vars(parser.parse_args(argv)))
    if options.merge_lora and not options.lora:
        parser.error("--merge-lora needs --lora DIR")
    return options


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected numbers such as 1,.75,.5,.25") from None

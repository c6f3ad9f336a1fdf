"""Batch inference from a prompt file.

python -m infer.generate --model checkpoints/student --prompts prompts.txt --out outputs/pictures
python -m infer.generate --model stabilityai/stable-diffusion-3-medium-diffusers --lora outputs/run/final ...
accelerate launch -m infer.generate --model ...
"""

from collections.abc import Sequence

from infer.options import Options, parse_options
from vision.command_line import exit_status


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return exit_status(lambda: _draw(parse_options(argv)), whole="pictures")


def _draw(options: Options) -> None:
    from infer.batch import draw_batch

    outcome = draw_batch(options)
    if outcome.main:
        print(f"{outcome.made} pictures drawn, {outcome.kept} were there already")
        print(f"pictures  {options.out}")
        print(f"records   {options.out / 'pictures.jsonl'}")
        print(f"overview  {outcome.overview}")


if __name__ == "__main__":
    raise SystemExit(main())

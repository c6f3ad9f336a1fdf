r"""Dresses the people of an index of samples.

python -m infer.tryon --model outputs/tryon-studio/final --index outputs/studio --split test --out dressed
accelerate launch --config_file configs/accelerate/one_node.yaml -m infer.tryon \
    --model ... --index samples.jsonl --out dressed
"""

from collections.abc import Sequence

from infer.tryon_options import TryOnOptions, parse_tryon_options
from vision.command_line import exit_status


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return exit_status(lambda: _dress(parse_tryon_options(argv)))


def _dress(options: TryOnOptions) -> None:
    from infer.tryon_clips import dress_samples

    done = dress_samples(options)
    if done.main:
        print(f"{done.made} videos made, {done.kept} were there already")
        print(f"videos  {options.out}")


if __name__ == "__main__":
    raise SystemExit(main())

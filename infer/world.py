"""What follows from a first frame and a gamepad, as a video.

python -m infer.world --model outputs/run/final --frames first.png --actions actions.parquet --out clip.mp4
python -m infer.world --model ... --frames clips/*/video.mp4 --actions clips/*/actions_raw.parquet --out out
"""

from collections.abc import Sequence

from infer.world_options import WorldOptions, parse_world_options
from vision.command_line import exit_status


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return exit_status(
        lambda: _make(parse_world_options(argv)),
        needs="install what reading tables needs: pip install -e '.[fps]'",
    )


def _make(options: WorldOptions) -> None:
    from infer.world_clips import make_clips

    made, kept = make_clips(options)
    print(f"{made} clips made, {kept} were there already")
    print(f"clips  {options.out}")


if __name__ == "__main__":
    raise SystemExit(main())

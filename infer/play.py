"""A world that is played in the browser.

python -m infer.play --model outputs/world-doom64-causal/final --frames outputs/fps/test
"""

import sys
from collections.abc import Sequence

from infer.play_options import parse_play_options


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = parse_play_options(argv)
    try:
        from infer.playing.server import serve
    except ModuleNotFoundError as error:
        print(f"error: {error}; install what playing needs: pip install -e '.[play]'", file=sys.stderr)
        return 2
    try:
        serve(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    print("ended")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m tests.chaos [--minutes M] [--seed N]`: the random schedule; exit code 1 when an invariant is violated."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from tests.chaos.drama import Drama


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long faults are injected")
    parser.add_argument("--seed", type=int, default=None, help="of the schedule; a random one by default")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    print(f"seed {seed}, {given.minutes:g} minutes", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="tts-chaos-"))
    directory.chmod(0o755)  # PostgreSQL may run as another user
    drama = Drama(directory, seed, lambda line: print(line, flush=True))
    try:
        drama.play(60 * given.minutes)
    except AssertionError as violation:
        traceback.print_exc()
        print(f"VIOLATED: {violation}\nlogs: {directory}", file=sys.stderr)
        print(f"repeat with: make chaos SEED={seed} MINUTES={given.minutes:g}", file=sys.stderr)
        return 1
    finally:
        drama.close()
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())

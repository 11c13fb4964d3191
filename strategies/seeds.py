"""Seeds: every random choice comes from (job seed, problem key, candidate path), never from a database id."""

from __future__ import annotations

import hashlib


def seed_for(job_seed: int, problem_key: str, path: str) -> int:
    """A 31-bit seed (the widest every engine accepts) that is stable across runs, jobs and machines.

    The path alone tells stages apart, so a probe's sample 0 is best-of-n's sample 0 and can be reused as such.
    """
    digest = hashlib.sha256(f"{job_seed}\x1f{problem_key}\x1f{path}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFF_FFFF

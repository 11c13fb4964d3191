"""The whole service with vLLM in process: answers, exact token counts, FLOPs, and nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from tests.commands import Shop

pytestmark = pytest.mark.vllm


def test_a_job_runs_on_vllm_and_its_ledger_is_exact(tmp_path: Path, vllm_model: Path) -> None:
    shop = Shop(tmp_path, VLLM_CPU_KVCACHE_SPACE="1", TTS_LEASE_SECONDS="60")
    with (tmp_path / "tts-jobs.toml").open("a") as configuration:
        configuration.write(
            f'\n[generators.real]\nengine = "vllm"\nmodel = "{vllm_model}"\nmax_sequences = 16\ncontext_length = 1024\n'
            'engine_args = { enforce_eager = true, dtype = "float32" }\n'
        )
    shop.problems(6)
    command = ("run", "problems.jsonl", "-g", "real", "-t", "gsm8k-steps", "--max-tokens", "32")
    shop.tts(*command, "-s", "majority_vote", "-b", "2", timeout=600)
    shop.tts(*command, "-s", "best_of_n", "-b", "2", timeout=600)
    vote, best = json.loads(shop.tts("report", "--json").stdout)
    assert (vote["done"], vote["failed"], vote["samples"]) == (6, 0, 12)
    assert (best["done"], best["reused_samples"], best["spent_gpu_seconds"]) == (6, 12, 0)
    assert vote["generated_tokens"] == shop.scalar("SELECT SUM(generated_tokens) FROM candidate WHERE job_id = 1")
    assert 0 < vote["cached_tokens"] < vote["prompt_tokens"], "the second sample of a problem finds its prompt cached"
    assert 0 < vote["flops"] < vote["flops_canonical"] * 2
    held, busy, idle = shop.query(
        "SELECT busy_seconds + idle_seconds, busy_seconds, idle_seconds FROM worker WHERE kind = 'worker'"
    )[0]
    booked = shop.scalar("SELECT SUM(gpu_seconds) FROM usage WHERE reused = 0 AND phase = 'generate' AND job_id = 1")
    assert booked == pytest.approx(busy, rel=0.01)
    assert held == pytest.approx(busy + idle)
    left = [
        child.info["cmdline"]
        for child in psutil.process_iter(["cmdline"])
        if str(tmp_path) in " ".join(child.info["cmdline"] or [])
    ]
    assert not left

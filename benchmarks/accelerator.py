"""`python -m benchmarks.accelerator`: a generator and a process reward model of 7 to 8 billion random weights on one GPU, through
the whole service and on the bare engine. Needs vLLM; `--small` tries it without a GPU."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from benchmarks import random_models
from benchmarks.replayed import Segment, drawn_bare, seconds, segments
from benchmarks.service import ROOT, Service, entry_table, service
from models.settings import ModelEntry
from tests.servers import free_port

PROBLEMS = ROOT / "examples" / "word_problems.jsonl"
CONTEXT = 4096
EVERY_SECONDS = 0.25
LOAD = {"load_format": "dummy"}
WATCHED = {"disable_log_stats": False, "enable_mfu_metrics": True}
"""So that the worker's metrics hold vLLM's own."""
FLOPS, HITS, QUERIES = (
    "vllm:estimated_flops_per_gpu_total",
    "vllm:prefix_cache_hits_total",
    "vllm:prefix_cache_queries_total",
)
RUNNING = "vllm:num_requests_running"
COUNTERS = {FLOPS, HITS, QUERIES, RUNNING}
HEADER = """\
| job | seconds | tokens/s | sequences in the batch, median | prompt tokens cached, vLLM's count; ours | \
FLOPs of the generator, ours / vLLM's | all FLOPs/s of the chip's peak |
| --- | --- | --- | --- | --- | --- | --- |"""


@dataclass(frozen=True, slots=True)
class Run:
    """One job through the service; the counters are vLLM's, of the generator."""

    name: str
    drawn: list[Segment]
    seconds: float
    counters: dict[str, float]
    running: list[float] = field(repr=False)
    ledger: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerator", description=__doc__)
    parser.add_argument("--problems", type=int, default=64)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--sequences", type=int, default=256)
    parser.add_argument("--small", action="store_true", help="both models with a few narrow layers")
    parser.add_argument(
        "--peak", type=float, default=989.4e12, help="FLOP/s in bfloat16; H100 and H200 by their data sheet"
    )
    given = parser.parse_args()
    # So that the worker's log is shown, and nothing stays behind, when `timeout` ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    with tempfile.TemporaryDirectory(prefix="tts-accelerator-") as folder:
        generator = ModelEntry(
            engine="vllm", model=str(random_models.write(Path(folder), "generator", small=given.small)),
            max_sequences=given.sequences, context_length=CONTEXT,
            engine_args={**LOAD, **WATCHED, "gpu_memory_utilization": 0.55},
        )  # fmt: skip
        prm = ModelEntry(
            engine="vllm", model=str(random_models.write(Path(folder), "prm", small=given.small)), format="qwen-prm",
            max_sequences=given.sequences, context_length=CONTEXT,
            engine_args={**LOAD, "enforce_eager": True, "gpu_memory_utilization": 0.35},
        )  # fmt: skip
        template = str(random_models.template(Path(folder)))
        print(HEADER, flush=True)
        runs = []
        for run in _through(generator, prm, template, given):
            print(_row(run, given), flush=True)
            runs.append(run)
        plain = [run for run in runs if "random-prm" not in run.name]
        bare = asyncio.run(drawn_bare(generator, [run.drawn for run in plain], template, given.max_tokens))
    for run, rate in zip(plain, bare, strict=True):
        tokens = sum(one.tokens for one in run.drawn)
        print(f"{run.name}: bare engine {rate:.0f} tokens/s, the service {tokens / run.seconds / rate:.3f} of it")


def _through(generator: ModelEntry, prm: ModelEntry, template: str, given: argparse.Namespace) -> Iterator[Run]:
    port = free_port()
    searches = ("-s", "beam_search", "-b", str(given.samples), "--param", "beam_width=4", "--param", "max_steps=8")
    votes = ("-s", "best_of_n", "-b", str(given.samples))
    jobs = [
        ("warm-up", ("-s", "best_of_n", "-b", "4", "-v", "random-prm", "--limit", "8")),
        (f"best_of_n {given.samples}, mean_logprob", (*votes, "-v", "mean_logprob")),
        (f"best_of_n {given.samples}, random-prm", (*votes, "-v", "random-prm")),
        (f"beam_search {given.samples}, mean_logprob", (*searches, "-v", "mean_logprob")),
        (f"beam_search {given.samples}, random-prm", (*searches, "-v", "random-prm")),
    ]
    configuration = entry_table("generators.random", generator) + entry_table("verifiers.random-prm", prm)
    worker = ("worker", "-g", "random", "--metrics-port", str(port))
    with service(configuration) as made, made.running("scheduler"), made.running(*worker):
        try:
            made.wait_for("SELECT COUNT(*) FROM worker WHERE kind = 'worker'", 1)
            for number, (name, options) in enumerate(jobs, 1):
                limit = () if "--limit" in options else ("--limit", str(given.problems))
                before = _counters(port)
                with _sampled(port) as running:
                    made.tts(
                        "submit", str(PROBLEMS), "-g", "random", "-t", template, "--max-tokens", str(given.max_tokens),
                        "--seed", str(number), *limit, *options,
                    )  # fmt: skip
                    # What fails is tried again, and a model that does not fit would be started again and again.
                    made.wait_for(
                        f"SELECT state NOT IN ('loading', 'open') OR EXISTS (SELECT 1 FROM attempt WHERE state IN ('failed', 'lost')) FROM job WHERE id = {number}",
                        True,
                    )
                run = _run(made, number, name, before, _counters(port), running)
                if number > 1:
                    yield run
        except BaseException:
            print((made.directory / "worker.log").read_text()[-6000:], flush=True)
            raise


def _run(
    made: Service, number: int, name: str, before: dict[str, float], after: dict[str, float], running: list[float]
) -> Run:
    assert made.one(f"SELECT state FROM job WHERE id = {number}")[0] == "done", made.tts("status", str(number))
    ledger = made.one(
        "SELECT SUM(CASE WHEN phase = 'generate' THEN flops END) AS generate_flops, "
        "SUM(CASE WHEN phase = 'score' THEN flops END) AS score_flops, "
        "SUM(CASE WHEN phase = 'generate' THEN cached_tokens END) AS cached, "
        "SUM(CASE WHEN phase = 'generate' THEN prompt_tokens END) AS prompt, SUM(scored_tokens) AS scored, SUM(gpu_seconds) AS gpu_seconds "
        f"FROM usage WHERE job_id = {number} AND NOT reused"
    )
    counted = {key: after[key] - before.get(key, 0.0) for key in after}
    run = Run(name, segments(made, number), seconds(made, number), counted, running, dict(ledger._mapping))
    amounts = {key: float(value or 0) for key, value in run.ledger.items()}
    print(json.dumps({"job": name, "seconds": run.seconds, "ledger": amounts, "vLLM": counted}), file=sys.stderr)
    return run


def _counters(port: int) -> dict[str, float]:
    """vLLM's own, as the worker shows them to Prometheus."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        families = text_string_to_metric_families(reply.read().decode())
        return {
            sample.name: sample.value for family in families for sample in family.samples if sample.name in COUNTERS
        }


@contextmanager
def _sampled(port: int) -> Iterator[list[float]]:
    """Sequences in the engine's batch, four times a second, while the block runs."""
    found: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(EVERY_SECONDS):
            found.append(_counters(port).get(RUNNING, 0.0))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _row(run: Run, given: argparse.Namespace) -> str:
    tokens, counters, ledger = sum(one.tokens for one in run.drawn), run.counters, run.ledger
    busy = sorted(value for value in run.running if value)
    theirs = counters.get(FLOPS, 0.0)
    queried = counters.get(QUERIES, 0.0)
    flops = (ledger["generate_flops"] or 0) + (ledger["score_flops"] or 0)
    cells = [
        run.name,
        f"{run.seconds:.1f}",
        f"{tokens / run.seconds:.0f}",
        f"{busy[len(busy) // 2]:.0f} of {given.sequences}" if busy else "unknown",
        f"{counters.get(HITS, 0.0) / queried:.3f}; {ledger['cached'] / ledger['prompt']:.3f}" if queried else "unknown",
        f"{ledger['generate_flops'] / theirs:.4f}" if theirs and ledger["generate_flops"] else "unknown",
        f"{flops / run.seconds / given.peak:.3f}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

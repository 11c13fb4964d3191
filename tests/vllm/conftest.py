"""SmolLM2 as vLLM loads it: the directory that TTS_TEST_VLLM_MODEL names, or the pulled GGUF file, converted once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models import hub

pytest.register_assert_rewrite("tests.integration.engines.conformance")

CACHE = Path(os.environ.get("TTS_TEST_CACHE", Path(__file__).parents[2] / ".cache"))

CONVERT = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
folder, file, target = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(
    folder, gguf_file=file, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
)
model.save_pretrained(target)
AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(target)
"""


@pytest.fixture(scope="session")
def vllm_model() -> Path:
    if named := os.environ.get("TTS_TEST_VLLM_MODEL"):
        return Path(named)
    target = CACHE / "models" / "smollm2-vllm"
    if not (target / "config.json").is_file():
        source = hub.pull("smollm2", CACHE)
        part = target.with_name("smollm2-vllm.part")
        subprocess.run([sys.executable, "-c", CONVERT, str(source.parent), source.name, str(part)], check=True)
        part.rename(target)
    return target

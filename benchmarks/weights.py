"""SmolLM2's weights for vLLM, which reads no GGUF on a CPU."""

from __future__ import annotations

import shutil
from pathlib import Path


def as_directory(gguf: Path) -> Path:
    """A directory of the same weights, dequantised to float32, beside the file; made once. Needs vLLM's own packages."""
    folder = gguf.with_suffix("")
    if not folder.exists():
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        given = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
        plain = GgufConfig(dequantize=True)
        AutoModelForCausalLM.from_pretrained(**given, quantization_config=plain, dtype="float32").save_pretrained(part)
        AutoTokenizer.from_pretrained(**given).save_pretrained(part)
        part.rename(folder)
    return folder

"""SmolLM2's weights for vLLM, which reads no GGUF on a CPU."""

from __future__ import annotations

from pathlib import Path


def as_directory(gguf: Path) -> Path:
    """A directory of the same weights, dequantised to float32, beside the file; made once. Needs vLLM's own packages."""
    folder = gguf.with_suffix("")
    if not (folder / "model.safetensors").exists():
        from transformers import AutoModelForCausalLM, AutoTokenizer

        given = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
        AutoTokenizer.from_pretrained(**given).save_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(**given)
        # It is dequantised by now, and says still that it cannot be saved.
        model.hf_quantizer = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(folder)
    return folder

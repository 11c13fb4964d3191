"""Half precision where the machine is fast at it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def fast(device: str) -> AbstractContextManager[object]:
    """Autocast to bfloat16 on an accelerator or a CPU with AVX-512; plain float32 elsewhere, where bfloat16 takes ten
    times as long."""
    if device == "cpu" and not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return nullcontext()
    half: AbstractContextManager[object] = torch.autocast(device, torch.bfloat16)
    return half

"""FLOPs of a decoder's forward pass, in closed form: what was executed, and what is compared.

A multiplication and an addition are two FLOPs. Matrix products are counted, as in Kaplan et al. 2020
(arXiv:2001.08361, table 1), with attention charged at each token's own causal context; norms, activations, rotary
embeddings, the softmax and sampling are not. docs/flops.md explains the two figures kept for each request.
"""

from __future__ import annotations

from models.architecture import Architecture


def forward_flops(arch: Architecture, new_tokens: int, context_before: int, logit_positions: int) -> float:
    """FLOPs of passing `new_tokens` tokens that follow `context_before` tokens already in the cache.

    The i-th new token (i = 1..new_tokens) attends to context_before + i tokens, itself included, or to a sliding
    window if that is shorter; `logit_positions` of all tokens are projected onto the vocabulary. Per layer:
    2*T*D*(q + 2*kv)*d + 2*T*q*d*D + 4*q*d*sum(c_i) + 6*T*D*I (4*T*D*I without a gate).

    Raises:
        ValueError: a count is negative.
    """
    if new_tokens < 0 or context_before < 0 or logit_positions < 0:
        raise ValueError("token counts must not be negative")
    contexts = (arch.layers - arch.sliding_layers) * _context_sum(new_tokens, context_before, None)
    contexts += arch.sliding_layers * _context_sum(new_tokens, context_before, arch.sliding_window)
    weights = 2 * (arch.parameters + arch.head_parameters) * new_tokens
    attention = 4 * arch.query_heads * arch.head_dim * contexts
    logits = 2 * arch.hidden * arch.vocabulary * logit_positions if arch.logits else 0
    return float(weights + attention + logits)


def actual_flops(arch: Architecture, prompt: int, cached: int | None, generated: int) -> float | None:
    """FLOPs executed for one generation request, in tokens; None (unknown) where `cached` is.

    prompt - cached + generated - 1 tokens are computed (the last generated one is never fed back) and the logits of
    `generated` positions. A request that ended before its first token is charged its prompt.

    Raises:
        ValueError: a count is negative, or more is cached than prompted.
    """
    if cached is None:
        return None
    if cached > prompt:
        raise ValueError("more tokens are cached than the prompt has")
    return forward_flops(arch, prompt - cached + max(generated - 1, 0), cached, generated)


def prefill_flops(arch: Architecture, prompt_tokens: int) -> float:
    """Canonical FLOPs of a prompt, charged once to a query whatever the number of its candidates; without logits."""
    return forward_flops(arch, prompt_tokens, 0, 0)


def decode_flops(arch: Architecture, prompt_tokens: int, generated_tokens: int) -> float:
    """Canonical FLOPs of one candidate after its prompt was prefilled: all but its last token, and all its logits.

    The logits of a candidate's first token are computed at the prompt's last position; they are charged here, to the
    candidate, so that prefill_flops(p) + decode_flops(p, g) is the request run alone, actual_flops(p, 0, g).
    """
    return forward_flops(arch, max(generated_tokens - 1, 0), prompt_tokens, generated_tokens)


def scoring_flops(arch: Architecture, prompt: int, cached: int | None, scored_positions: int) -> float | None:
    """FLOPs executed for one scoring pass over `prompt` tokens; None (unknown) where `cached` is.

    `scored_positions` are those whose logits are read; a scoring head is charged for every computed token instead.

    Raises:
        ValueError: a count is negative, or more is cached than prompted.
    """
    if cached is None:
        return None
    if cached > prompt:
        raise ValueError("more tokens are cached than the prompt has")
    return forward_flops(arch, prompt - cached, cached, scored_positions)


def flops_2nd(arch: Architecture, tokens: int) -> float:
    """The papers' estimate 2*N*T, N the weights a token passes without embeddings (`Architecture.parameters`)."""
    return 2.0 * arch.parameters * tokens


def _context_sum(tokens: int, before: int, window: int | None) -> int:
    """The sum of min(before + i, window) over i = 1..tokens."""
    growing = tokens if window is None else min(tokens, max(0, window - before))
    capped = 0 if window is None else (tokens - growing) * window
    return growing * before + growing * (growing + 1) // 2 + capped

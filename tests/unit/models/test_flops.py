import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.architecture import Architecture
from models.flops import actual_flops, decode_flops, flops_2nd, forward_flops, prefill_flops, scoring_flops

SMOLLM2 = Architecture(
    family="llama",
    layers=30,
    hidden=576,
    query_heads=9,
    kv_heads=3,
    head_dim=64,
    mlp_width=1536,
    gated=True,
    vocabulary=49152,
)
LLAMA_8B = Architecture(
    family="llama",
    layers=32,
    hidden=4096,
    query_heads=32,
    kv_heads=8,
    head_dim=128,
    mlp_width=14336,
    gated=True,
    vocabulary=128256,
)

counts = st.integers(min_value=0, max_value=60)
sizes = st.integers(min_value=1, max_value=9)


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    layers = draw(sizes)
    expert_layers = draw(st.integers(0, layers))
    sliding_layers = draw(st.integers(0, layers))
    return Architecture(
        family="any",
        layers=layers,
        hidden=draw(sizes),
        query_heads=draw(sizes),
        kv_heads=draw(sizes),
        head_dim=draw(sizes),
        mlp_width=draw(sizes),
        gated=draw(st.booleans()),
        vocabulary=draw(sizes),
        sliding_window=draw(st.integers(1, 80)) if sliding_layers else None,
        sliding_layers=sliding_layers,
        experts=draw(sizes) if expert_layers else 0,
        active_experts=draw(sizes) if expert_layers else 0,
        expert_width=draw(sizes) if expert_layers else 0,
        shared_width=draw(sizes) if expert_layers else 0,
        expert_layers=expert_layers,
        logits=draw(st.booleans()),
        head_parameters=draw(sizes),
    )


def one_by_one(arch: Architecture, new_tokens: int, context_before: int, logit_positions: int) -> int:
    """The formula token by token, layer by layer and matrix by matrix."""
    total = 0
    heads = arch.query_heads * arch.head_dim
    matrices = 3 if arch.gated else 2
    for token in range(new_tokens):
        for layer in range(arch.layers):
            context = context_before + token + 1
            if layer < arch.sliding_layers and arch.sliding_window is not None:
                context = min(context, arch.sliding_window)
            total += 2 * arch.hidden * heads  # queries
            total += 2 * (2 * arch.hidden * arch.kv_heads * arch.head_dim)  # keys and values
            total += 2 * (2 * heads * context)  # their products
            total += 2 * heads * arch.hidden  # output
            if layer < arch.expert_layers:
                total += 2 * arch.hidden * arch.experts
                for width in [*[arch.expert_width] * arch.active_experts, arch.shared_width]:
                    total += matrices * 2 * arch.hidden * width
            else:
                total += matrices * 2 * arch.hidden * arch.mlp_width
        total += 2 * arch.head_parameters
    if arch.logits:
        total += logit_positions * 2 * arch.hidden * arch.vocabulary
    return total


@given(architectures(), counts, counts, counts)
def test_the_closed_form_is_the_sum_over_tokens(arch: Architecture, new: int, before: int, positions: int) -> None:
    assert forward_flops(arch, new, before, positions) == one_by_one(arch, new, before, positions)


@given(architectures(), counts, counts, counts)
def test_a_pass_may_be_cut_anywhere(arch: Architecture, first: int, second: int, before: int) -> None:
    parts = forward_flops(arch, first, before, 1) + forward_flops(arch, second, before + first, 2)
    assert forward_flops(arch, first + second, before, 3) == parts


@given(architectures(), counts, counts)
def test_canonical_pieces_are_a_request_run_alone(arch: Architecture, prompt: int, generated: int) -> None:
    alone = prefill_flops(arch, prompt) + decode_flops(arch, prompt, generated)
    assert alone == actual_flops(arch, prompt, 0, generated)


@given(architectures(), counts, counts, counts)
def test_a_cache_saves_exactly_the_cached_tokens(arch: Architecture, prompt: int, cached: int, generated: int) -> None:
    assume(cached <= prompt)
    saved = actual_flops(arch, prompt, cached, generated)
    whole = actual_flops(arch, prompt, 0, generated)
    assert saved is not None
    assert whole is not None
    assert whole - saved == prefill_flops(arch, cached)


def test_smollm2_135m_by_hand() -> None:
    # A layer: 576*(9+6)*64 + 576*576 for attention, 3*576*1536 for the feed-forward block.
    assert SMOLLM2.parameters == 30 * (552_960 + 331_776 + 2_654_208) == 106_168_320
    # 100 prompt tokens: 2N each, and 4*9*64*30 = 69,120 for each of 1 + 2 + ... + 100 = 5,050 context positions.
    assert prefill_flops(SMOLLM2, 100) == 100 * 212_336_640 + 5_050 * 69_120 == 21_582_720_000
    # 50 generated: 49 are fed back, at contexts 101..149 (6,125 in all), and 50 are projected, 2*576*49152 each.
    assert decode_flops(SMOLLM2, 100, 50) == 49 * 212_336_640 + 6_125 * 69_120 + 50 * 56_623_104 == 13_659_010_560
    assert actual_flops(SMOLLM2, 100, 0, 50) == 35_241_730_560
    # 64 of the prompt's tokens cached: 64 tokens and 2,080 context positions less.
    assert actual_flops(SMOLLM2, 100, 64, 50) == 35_241_730_560 - 64 * 212_336_640 - 2_080 * 69_120


def test_llama_31_8b_by_hand() -> None:
    assert LLAMA_8B.parameters == 32 * (25_165_824 + 16_777_216 + 176_160_768) == 6_979_321_856
    assert forward_flops(LLAMA_8B, 1, 0, 1) == 13_958_643_712 + 524_288 + 1_050_673_152
    assert forward_flops(LLAMA_8B, 1, 8191, 0) == 13_958_643_712 + 8192 * 524_288


@pytest.mark.parametrize("arch", [SMOLLM2, LLAMA_8B])
def test_2nd_is_close_for_short_contexts(arch: Architecture) -> None:
    assert flops_2nd(arch, 128) == pytest.approx(forward_flops(arch, 128, 0, 0), rel=0.03)


def test_a_window_caps_the_context_of_its_layers() -> None:
    shape = {name: value for name, value in SMOLLM2.to_dict().items() if not name.startswith("sliding")}
    windowed = Architecture.from_dict(shape | {"sliding_window": 64, "sliding_layers": 10})
    gap = forward_flops(SMOLLM2, 1, 999, 0) - forward_flops(windowed, 1, 999, 0)
    assert gap == 10 * 4 * 9 * 64 * (1000 - 64)


def test_the_first_token_needs_no_pass_of_its_own() -> None:
    assert decode_flops(SMOLLM2, 100, 1) == 56_623_104
    assert decode_flops(SMOLLM2, 100, 0) == 0
    assert actual_flops(SMOLLM2, 100, 0, 0) == prefill_flops(SMOLLM2, 100)


def test_scoring_charges_logits_or_a_head() -> None:
    assert scoring_flops(SMOLLM2, 100, 0, 3) == prefill_flops(SMOLLM2, 100) + 3 * 56_623_104
    head = Architecture.from_dict(SMOLLM2.to_dict() | {"logits": False, "head_parameters": 1000})
    assert scoring_flops(head, 100, 40, 3) == forward_flops(SMOLLM2, 60, 40, 0) + 60 * 2 * 1000


def test_an_unknown_cache_is_unknown_flops() -> None:
    assert actual_flops(SMOLLM2, 100, None, 50) is None
    assert scoring_flops(SMOLLM2, 100, None, 3) is None


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="more tokens are cached"):
        actual_flops(SMOLLM2, 10, 11, 5)
    with pytest.raises(ValueError, match="more tokens are cached"):
        scoring_flops(SMOLLM2, 10, 11, 0)
    with pytest.raises(ValueError, match="negative"):
        forward_flops(SMOLLM2, -1, 0, 0)

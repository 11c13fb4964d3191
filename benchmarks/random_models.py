"""Models of real architectures whose weights vLLM makes up as it loads them: a configuration and a tokenizer, no more.

Their texts are random words, of which one in 75 ends a step and one in 300 the solution. A word is one token, so that a text
that one model has written is about as many tokens long for the other.
"""

from __future__ import annotations

import json
from itertools import chain, islice, product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

ARCHITECTURES: dict[str, dict[str, Any]] = {
    # meta-llama/Llama-3.1-8B-Instruct, config.json
    "generator": {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
    },
    # Qwen/Qwen2.5-Math-PRM-7B, config.json, with the generator's vocabulary: its head has two labels, not words
    "prm": {
        "architectures": ["Qwen2ForProcessRewardModel"], "model_type": "qwen2", "hidden_size": 3584,
        "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
        "vocab_size": 128256, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    },
}  # fmt: skip
SMALL = {
    "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
"""What a machine without a GPU can run."""
COMMON = {"hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "bfloat16"}
LETTERS = 4
"""In a word, at most; only one of so many can have something behind it."""
WORDS_A_STEP = 64
WORDS_A_SOLUTION = 256
END = "</s>"
TEMPLATE = f"""\
+++
answer = "math"
step_separator = "\\n\\n"
stop = ["{END}"]
+++
{{{{ problem }}}}
"""


def write(folder: Path, name: str, *, small: bool = False) -> Path:
    """One of ARCHITECTURES as a model directory, or of its kind with the sizes of SMALL. Needs `transformers`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from tests.vllm.reward_models import CHAT, SPECIAL

    config: dict[str, Any] = COMMON | ARCHITECTURES[name] | (SMALL if small else {})
    target = folder / name
    target.mkdir(parents=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # Whole words come out of merges, for there are loaders that read nothing but vocabulary and merges.
    lengths = chain.from_iterable(product(ascii_lowercase, repeat=length) for length in range(1, LETTERS + 1))
    words = [f"Ġ{''.join(word)}" for word in islice(lengths, config["vocab_size"] - len(alphabet) - len(SPECIAL))]
    ends = [behind(number) if len(word) > LETTERS else "" for number, word in enumerate(words)]
    texts = alphabet + [word + end for word, end in zip(words, ends, strict=True)]
    merges = [(word[:-1], word[-1]) for word, end in zip(words, ends, strict=True) if not end]
    tokenizer = Tokenizer(models.BPE(vocab={written: place for place, written in enumerate(texts)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=SPECIAL[0], eos_token=SPECIAL[1], chat_template=CHAT
    ).save_pretrained(target)
    end = tokenizer.token_to_id(SPECIAL[1])
    (target / "config.json").write_text(json.dumps({**config, "bos_token_id": end - 1, "eos_token_id": end}))
    return target


def template(folder: Path) -> Path:
    """The prompt template that says where their solutions end."""
    path = folder / "random.j2"
    path.write_text(TEMPLATE)
    return path


def behind(number: int) -> str:
    """What follows the word of that number within its token, as ByteLevel writes it (a space is Ġ, a newline Ċ)."""
    if number % WORDS_A_SOLUTION == 1:
        return f"Ġ\\boxed{{7}}{END}"
    return "ĊĊ" if number % WORDS_A_STEP == 0 else ""

"""What each token of a vocabulary says by itself."""

from __future__ import annotations

from typing import Any


class Vocabulary:
    """Of a tokenizer of Hugging Face's that is one of `tokenizers`."""

    def __init__(self, tokenizer: Any) -> None:
        everything = [[token] for token in range(len(tokenizer))]
        texts = tokenizer.backend_tokenizer.decode_batch(everything, skip_special_tokens=False)
        self._texts: dict[int, str] = dict(enumerate(texts))
        self._special = frozenset(tokenizer.all_special_ids)
        self._containing: dict[str, list[int]] = {}
        self._decode = tokenizer.decode
        # For every token drawn vLLM decodes once more what its log-probability belongs to: about a third of the time
        # that it takes to receive a token.
        tokenizer.decode = self.decode

    def decode(self, tokens: Any, *arguments: Any, **named: Any) -> Any:
        """As the tokenizer's own, which is asked for anything but one token."""
        if isinstance(tokens, list) and len(tokens) == 1 and not (arguments or named):
            return self._texts.get(tokens[0], "")
        return self._decode(tokens, *arguments, **named)

    def containing(self, text: str) -> list[int]:
        """The tokens that are no special ones and have `text` within their own."""
        found = self._containing.get(text)
        if found is None:
            found = [token for token, own in self._texts.items() if text in own and token not in self._special]
            self._containing[text] = found
        return found

#!/usr/bin/env bash
# The first minutes: test-time scaling with the tiny models, then a dozen word problems with an ordinary model.
# Kill it whenever you like and start it again: it goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."

export TTS_HOME="${TTS_HOME:-$PWD/.demo}"

printf 'Arithmetic with the tiny models: greedily, by majority vote, by a vote that tiny-prm weights\n'
tts-jobs demo

printf '\nTwelve word problems with SmolLM2-135M, four samples each\n'
tts-jobs models pull smollm2
tts-jobs run examples/word_problems.jsonl --limit 12 --strategy majority_vote --budget 4 --name "demo smollm2" \
  --template gsm8k-steps --max-tokens 96
printf '\nThe first part as a page: %s; everything is in %s; `tts-jobs --help` shows what else there is.\n' \
  "$TTS_HOME/demo.html" "$TTS_HOME/tts-jobs.db"

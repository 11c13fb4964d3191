#!/usr/bin/env bash
# The first two minutes: 64 word problems, three ways of spending compute on them, one table.
# Kill it whenever you like and start it again: it goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."

export TTS_HOME="${TTS_HOME:-$PWD/.demo}"
problems=examples/word_problems.jsonl
common=(--template gsm8k-steps --max-tokens 96)

tts-jobs models pull smollm2
for plan in "greedy 1" "majority_vote 4" "best_of_n 4"; do
  read -r strategy budget <<<"$plan"
  printf '\n%s, %s sample(s) a problem\n' "$strategy" "$budget"
  tts-jobs run "$problems" --strategy "$strategy" --budget "$budget" --name "demo $strategy" "${common[@]}"
done

printf '\nAccuracy against cost\n'
tts-jobs report
printf '\nThe database: %s\n' "$TTS_HOME/tts-jobs.db"

#!/usr/bin/env bash
# What needs a GPU, in parts of under ten minutes, without a network. A part that was begun goes on where it stopped.
#
#   bash benchmarks/gpu.sh check            log-likelihoods, samples and a training on the GPU are those of the CPU
#   bash benchmarks/gpu.sh speed            the tables of `python -m benchmarks` in bfloat16: results/speed_gpu.*
#   bash benchmarks/gpu.sh growth           the same, of sampling by size
#   bash benchmarks/gpu.sh reproduce NAME   ten minutes of a published row; again, until it says that it is tested
#
# AR_LIGHTNING_DATA names the folder with the data; PYTHON the interpreter (default python).
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
results=benchmarks/results
limit=570 # seconds of a part

case "${1:-}" in
  check)
    timeout "$limit" "$python" -m pytest -q -n0 tests/training/test_gpu.py
    ;;
  speed)
    timeout "$limit" "$python" -m benchmarks --device cuda --bf16 --only training sampling overhead --out "$results/speed_gpu"
    ;;
  growth)
    timeout "$limit" "$python" -m benchmarks --device cuda --bf16 --only growth wavenet --out "$results/growth_gpu"
    ;;
  reproduce)
    name=${2:?give the name of a row: python run.py reproduce --list}
    # Interrupted, it keeps its last epoch, and the same command goes on from there.
    timeout --signal=INT --kill-after=20 "$limit" "$python" run.py reproduce "$name" trainer.devices=1 || code=$?
    [ "${code:-0}" = 0 ] || [ "${code:-0}" = 124 ] || exit "$code"
    ;;
  *)
    sed -n '2,10s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

#!/usr/bin/env bash
# The results in this folder, by: bash benchmarks/results/anomaly/commands.sh [OUT]
set -euo pipefail
out=${1:-runs/anomaly}
network="--config conf/pixelcnn.yaml model.hidden=12 model.layers=3 model.head=32 data.levels=16 data.batch_size=50
  trainer.accelerator=cpu trainer.devices=1 samples.n=16 samples.every=0 tracking.mode=disabled"
cifar10="data=cifar10 data.eval_batch_size=100 trainer.max_epochs=2 trainer.threads=1"
mnist="data=mnist data.eval_batch_size=200 trainer.max_epochs=3"

for data in cifar10 mnist; do
  # shellcheck disable=SC2086
  python run.py $network ${!data} run_dir="$out/$data"
  # shellcheck disable=SC2086
  python run.py $network ${!data} data.mutate=0.2 run_dir="$out/$data-background"
  other=$([ $data = mnist ] && echo cifar10 || echo mnist)
  for against in "$other" constant noise; do
    python run.py anomaly "$out/$data" --against "$against" --background "$out/$data-background"
  done
done

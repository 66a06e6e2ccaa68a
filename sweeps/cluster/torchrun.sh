#!/bin/bash
# One training on several machines without a batch system: start this on each of them, in a directory they share.
#
#   HEAD=node1:29500 NODES=2 DEVICES=4 bash sweeps/cluster/torchrun.sh
#
# The machines find each other at HEAD, which is one of them and a free port; DEVICES is the number of GPUs of each.
# Started again on all of them, it goes on from its last checkpoint. Further arguments are keys of the config.
set -euo pipefail

head=${HEAD:?the name of one of the machines, and a free port, such as HEAD=node1:29500}
nodes=${NODES:-2}
devices=${DEVICES:-4}
run=${RUN:-runs/pixelrnn-torchrun}  # named here because it must be the same everywhere

if [ -f "$run/config.yaml" ]; then
  begin=(--resume "$run")
else
  # data.batch_size is that of all processes together, and must be a multiple of their number.
  begin=(--config conf/pixelrnn.yaml run_dir="$run" data.batch_size=32)
fi
# No --max-restarts: what failed is started again by this script, which resumes.
torchrun --nnodes="$nodes" --nproc-per-node="$devices" --rdzv-backend=c10d --rdzv-endpoint="$head" --rdzv-id="$run" \
  run.py "${begin[@]}" trainer.save_minutes=10 trainer.num_nodes="$nodes" trainer.devices="$devices" "$@"

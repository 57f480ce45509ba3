#!/bin/bash
# Every arm of adaptation on real photographs, for a CPU: Market-1501's cameras 1-3 -> 4-6 (no person in both), Market-1501 -> PKU-Reid.
# Usage: benchmarks/adapt_sites.sh DATA_ROOT WEIGHTS [RUNS]   with `market` and `pku-half` below DATA_ROOT (see docs/adaptation.md) and
# WEIGHTS the ImageNet weights of timm's mobilenetv2_100. About four hours on one thread; the same command again goes on.
set -euo pipefail
data=$1 weights=$2 runs=${3:-runs}
export OMP_NUM_THREADS=1
places=(--data-root "$data" --runs "$runs" --device cpu --workers 1)
network=(--backbone timm:mobilenetv2_100 --weights "$weights" --last-stride 2 --size 128x64 --classifier-init centroid-calibrated
  --classifier-norm cosine --temperature 0.05 --random-erasing 0 --pad-crop 5 --batch-ids 16 --batch-images 4)
rounds=(--rounds 8 --iterations 50 --lr 3.5e-4 --lr-schedule constant)

arms() { # source target base tests
  local from=(--source "$1" --target "$2" --from "$3" "${rounds[@]}" --test "$4" "${places[@]}")
  reid-train adapt "${from[@]}" --name "$3-joint" --diagnose
  reid-train adapt "${from[@]}" --name "$3-source" --target-weight 0
  reid-train adapt "${from[@]}" --name "$3-independent" --arm independent --diagnose
  reid-train adapt "${from[@]}" --name "$3-independent-2b" --arm independent --batch-ids 32 --diagnose
  reid-train adapt "${from[@]}" --name "$3-replayed" --arm independent --labels-from "$3-joint" --diagnose
  reid-train adapt "${from[@]}" --name "$3-mixed" --classifier mixed --diagnose
  reid-train adapt "${from[@]}" --name "$3-mixed-source" --classifier mixed-source --diagnose
  reid-train matrix --test "$4" "${places[@]}" \
    --train "run:$3,run:$3-joint,run:$3-source,run:$3-independent,run:$3-independent-2b,run:$3-replayed,run:$3-mixed,run:$3-mixed-source"
}

[ -e "$data/site-a" ] || reid-data subset market --cameras 1-3 --ids even --out site-a --data-root "$data"
[ -e "$data/site-b" ] || reid-data subset market --cameras 4-6 --ids odd --out site-b --data-root "$data"
start=("${network[@]}" --epochs 10 --iterations 100 --lr 7e-4 --lr-schedule cosine --warmup-epochs 1 "${places[@]}")
reid-train fit --train site-a --test site-a,site-b --name sites "${start[@]}"
reid-train fit --train market --test pku-half --name market-pku "${start[@]}"
arms site-a site-b sites site-b,site-a
arms market pku-half market-pku pku-half

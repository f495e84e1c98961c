#!/usr/bin/env bash
# How fast a GPU is, in one run of less than eight minutes on a machine that has one: the gradient of VGG4 for 128 images of CIFAR-10's size by
# the published procedure and by this program's solver; an epoch of CIFAR-10 where $HOLOGRAD_DATA holds it; and beside them what the card's
# own libraries make of products and convolutions, where PyTorch is there to ask, and another program's command, where $BESIDE names one.
# Build before: cargo build --release --features gpu --bins --examples.
#   [BESIDE="python3 baseline.py"] benches/gpu.sh [folder for the results]
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-.}
mkdir -p "$out"
built=${CARGO_TARGET_DIR:-target}/release
{
  date -u +%FT%TZ
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm --format=csv,noheader 2> /dev/null
  grep -m1 'model name' /proc/cpuinfo
  timeout 180 "$built/examples/gpu_speed" 128 0 4
  if [ -n "${HOLOGRAD_DATA:-}" ]; then
    estimator='{"harmonic_balance":{"period":null,"tolerance":1e-3,"settle":{"step":1.0,"tolerance":1e-4,"max_time":250.0,"accelerate":true}}}'
    inference='{"step":1.0,"tolerance":1e-3,"max_time":250.0,"accelerate":true}'
    folder=$(mktemp -d)
    time timeout 120 "$built/holograd" run paper1/table2 --device gpu --set epochs=1 --set compare=0 --set unsettled=null \
      --set "estimator=$estimator" --set "inference=$inference" --out "$folder/epoch" \
      || echo "the epoch of CIFAR-10 did not end well within two minutes"
    rm -rf "$folder"
  fi
  if [ -n "${BESIDE:-}" ]; then
    timeout 90 sh -c "$BESIDE" || echo "the program beside did not end well within 90 s"
  fi
  timeout 60 python3 - << 'PYTHON'
import time
try:
    import torch
except ImportError:
    raise SystemExit("no PyTorch: the card's own rates were not measured")
if not torch.cuda.is_available():
    raise SystemExit("PyTorch sees no card: its own rates were not measured")
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

def rate(name, work, operations):
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        work()
    torch.cuda.synchronize()
    print(f"{name}: {20 * operations / (time.perf_counter() - start) / 1e12:.1f} TFLOP/s in f32", flush=True)

n = 8192
a, b = torch.randn(n, n, device="cuda"), torch.randn(n, n, device="cuda")
rate(f"product of {n} x {n}", lambda: a @ b, 2 * n**3)
for side, below, above in [(16, 128, 256), (8, 256, 512)]:
    images = torch.randn(128, below, side, side, device="cuda")
    kernel = torch.randn(above, below, 3, 3, device="cuda")
    operations = 2 * 128 * side * side * 9 * below * above
    rate(f"convolution {below} to {above} of {side} x {side}", lambda: torch.nn.functional.conv2d(images, kernel, padding=1), operations)
PYTHON
  date -u +%FT%TZ
} 2>&1 | tee "$out/gpu.txt"

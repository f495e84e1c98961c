#!/usr/bin/env bash
# Runs that several processes do together under mpirun: what one process comes to, to the bit, for any number of processes and threads; an
# error or a death of one ends all; a run goes on with another number of processes.
#   tests/cluster/mpi.sh PROGRAM        built with the feature `mpi`; skipped, with the reason, where there is no mpirun
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
program=$(realpath "${1:-$root/target/debug/holograd}")
command -v mpirun >/dev/null || { echo "skipped: runs of several processes need mpirun, of openmpi-bin"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ranks() { local count=$1; shift; mpirun -n "$count" --oversubscribe --bind-to none "$program" "$@"; }
fail() { echo "failed: $*"; exit 1; }

# What a run comes to: its parameters, and all it has measured, but for times.
outcome() {
  sha256sum <"$1/parameters.safetensors"
  sed 's/"seconds":[^,}]*//' "$1/metrics.jsonl" | sha256sum
  grep -v seconds "$1/summary.json" | sha256sum
}
same() {
  "$program" verify "$1" >verified || { cat verified; fail "$1 is not whole"; }
  diff <(outcome "$1") <(outcome "$2") || fail "$1 differs from $2"
}
# Does a training with one to four processes of one and two threads, and alone.
spread() {
  local name=$1; shift
  "$program" run "$@" --out "$name" --threads 1 --quiet
  echo "$name: $(sha256sum <"$name/parameters.safetensors" | cut -c1-16) in one process"
  for count in 1 2 3 4; do
    for threads in 1 2; do
      ranks "$count" run "$@" --out "$name-$count-$threads" --threads "$threads" --quiet
      same "$name-$count-$threads" "$name"
      echo "$name: $(sha256sum <"$name-$count-$threads/parameters.safetensors" | cut -c1-16) in $count processes of $threads threads"
    done
  done
}
noise='imperfections={"state_noise":{"one_over_f":{"std":0.05,"shortest":1,"longest":1000,"continuous":true}},"teaching_noise":{"held":{"std":0.01}}}'
digits=(digits --set epochs=2 --set batch_size=40 --set compare=20 --set schedule=constant)
digits+=(--set "$noise" --set 'data={"digits":{"test_fraction":0.9}}')
spread digits "${digits[@]}"

# 300 updates.
mnist=(mnist --set epochs=1 --set compare=0 --set 'data={"mnist":{"train":6000,"test":500}}')
if "$program" check "${mnist[@]}" >checked 2>&1; then
  spread mnist "${mnist[@]}"
else
  echo "skipped: MNIST, whose files are not found"
fi

# A sweep, whose runs go to whoever is free.
cat >sweep.json <<X
{ "kind": "sweep", "seeds": 3, "vary": { "optimiser.adam_w.learning_rate": [0.003, 0.01] }, "history": true,
  "experiment": "$root/experiments/digits.json",
  "set": { "epochs": 2, "compare": 0, "schedule": "constant", "data": { "digits": { "test_fraction": 0.9 } } } }
X
"$program" run sweep.json --out sweep --quiet
same_sweep() {
  "$program" verify "$1" >verified || { cat verified; fail "$1 is not whole"; }
  cmp <(sed 's/"seconds":[^,}]*//' "$1/metrics.jsonl") <(sed 's/"seconds":[^,}]*//' sweep/metrics.jsonl)
  cmp <(grep -v seconds "$1/summary.json") <(grep -v seconds sweep/summary.json)
  diff <(cd "$1/runs" && sha256sum ./*/checkpoint.safetensors) <(cd sweep/runs && sha256sum ./*/checkpoint.safetensors)
}
for count in 2 3; do
  ranks "$count" run sweep.json --out "sweep-$count" --threads 1 --quiet
  same_sweep "sweep-$count"
  echo "sweep: as in one process in $count processes"
done

# What is wrong ends all, with one message and the code of one process.
refused() {
  local code=$1 told=$2; shift 2
  local found=0
  timeout 60 mpirun -n 3 --oversubscribe --bind-to none "$program" "$@" >told 2>&1 || found=$?
  [ "$found" = "$code" ] || { cat told; fail "exit code $found, not $code: $*"; }
  [ "$(grep -c '^holograd:' told)" = 1 ] && grep -q "$told" told || { cat told; fail "not one message with \"$told\": $*"; }
  echo "refused with $code: $(grep '^holograd:' told | cut -c1-100)"
}
refused 2 'found -1' run digits --set epochs=-1 --out wrong
refused 2 'no_such_file' run no_such_file --out wrong
refused 2 'found the kind `trace`' run trace --out wrong
refused 2 'the folder is not empty' run digits --out digits
refused 1 'the simulation diverged in epoch 1, batch 1' run "${digits[@]}" --set estimator.oscillation.amplitude=40 --out diverged
[ ! -e wrong ] || fail "bad input has left a folder"

# A process that is killed ends all; the run goes on with another number of processes.
long=("${digits[@]}" --set epochs=6)
"$program" run "${long[@]}" --out long --quiet
for pair in "2 3" "3 1" "4 2"; do
  read -r before after <<<"$pair"
  mpirun -n "$before" --oversubscribe --bind-to none "$program" run "${long[@]}" --out killed-$before --threads 1 >told 2>&1 &
  launcher=$!
  until [ "$(cat killed-$before/metrics.jsonl 2>/dev/null | wc -l)" -ge 2 ]; do sleep 0.1; kill -0 $launcher || { cat told; fail "too soon"; }; done
  victim=$(pgrep -P "$launcher" | tail -1)
  begun=$(date +%s%N)
  kill -KILL "$victim"
  wait "$launcher" && fail "a run of which a process was killed has succeeded"
  took=$((($(date +%s%N) - begun) / 1000000))
  [ "$took" -lt 10000 ] || fail "ended only after $took ms"
  grep -q 'exited on signal 9' told || { cat told; fail "nobody says that a process was killed"; }
  if [ "$after" = 1 ]; then
    "$program" run digits --resume --out killed-$before --quiet
  else
    ranks "$after" run digits --resume --out killed-$before --threads 1 --quiet
  fi
  same killed-$before long
  echo "killed: one of $before processes; all ended after $took ms; gone on in $after to the same bits"
done
ranks 2 run digits --resume --out long >told
grep -q 'nothing is left to do' told || { cat told; fail "a complete run"; }
ranks 2 run sweep.json --resume --out sweep-2 --set seeds=4 --quiet
"$program" run sweep.json --resume --out sweep --set seeds=4 --quiet
same_sweep sweep-2
echo "several processes come to what one comes to"

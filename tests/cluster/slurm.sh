#!/usr/bin/env bash
# Starts a Slurm of one node in a folder of its own, as root from Debian's slurm-wlm and munge, and does sweeps in it with the job
# scripts of examples/slurm: the folders must be those that one process makes. Of a program with the feature `mpi`, a training as an MPI job.
#   tests/cluster/slurm.sh PROGRAM [sweeps|mpi]        skipped, with the reason, where there is no Slurm
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
program=$(realpath "${1:-$root/target/debug/holograd}")
part=${2:-}
for needed in slurmctld slurmd sbatch munged; do
  PATH=$PATH:/usr/sbin command -v "$needed" >/dev/null || { echo "skipped: the jobs of Slurm need $needed, of slurm-wlm and munge"; exit 0; }
done
[ "$(id -u)" = 0 ] || { echo "skipped: the jobs of Slurm need a node daemon, which root starts"; exit 0; }
export PATH=$PATH:/usr/sbin
work=$(mktemp -d)
export SLURM_CONF=$work/slurm.conf
finish() {
  for pid in slurmd slurmctld munged; do [ ! -f "$work/$pid.pid" ] || kill "$(cat "$work/$pid.pid")" 2>/dev/null || true; done
  sleep 1
  rm -rf "$work"
}
trap finish EXIT
host=$(hostname -s)
cores=$(nproc)
mkdir "$work/state" "$work/spool"
dd if=/dev/urandom of="$work/munge.key" bs=1024 count=1 status=none
chmod 400 "$work/munge.key"
munged --force --key-file="$work/munge.key" --socket="$work/munge.socket" --pid-file="$work/munged.pid" \
  --log-file="$work/munged.log" --seed-file="$work/munged.seed" 2>"$work/munged.told"
cat >"$SLURM_CONF" <<X
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CredType=cred/munge
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
X
slurmctld
slurmd
for _ in $(seq 60); do [ "$(sinfo -h -o %t)" = idle ] && break; sleep 0.5; done
sinfo
[ "$(sinfo -h -o %t)" = idle ] || { tail -n 20 "$work"/slurm*.log; exit 1; }

mkdir "$work/bin" "$work/jobs"
ln -s "$program" "$work/bin/holograd"
export PATH=$work/bin:$PATH
cd "$work/jobs"

sweeps() {
cat >sweep.json <<X
{ "kind": "sweep", "seeds": 4, "vary": { "optimiser.adam_w.learning_rate": [0.003, 0.01, 0.03] },
  "experiment": "$root/experiments/digits.json", "set": { "epochs": 1, "compare": 0, "data": { "digits": { "test_fraction": 0.8 } } } }
X
# Whether a folder holds what one process makes of the sweep, but for times.
same() {
  holograd verify "$1"
  [ "$(ls "$1")" = "$(ls whole)" ]
  cmp <(sed 's/"seconds":[^,}]*//' "$1/metrics.jsonl") <(sed 's/"seconds":[^,}]*//' whole/metrics.jsonl)
  cmp <(grep -v seconds "$1/summary.json") <(grep -v seconds whole/summary.json)
  cmp "$1/experiment.json" whole/experiment.json
}
holograd run sweep.json --out whole --quiet
echo "\$ sbatch --array=1-4 --cpus-per-task=1 array.sbatch sweep.json array"
sbatch --wait --array=1-4 --cpus-per-task=1 "$root/examples/slurm/array.sbatch" sweep.json array
holograd status array
same array
# Of an array of which one task was cancelled that task alone is submitted again.
sbatch --wait --array=1,3,4 --cpus-per-task=1 --wrap 'holograd run sweep.json --out again --shard slurm/4 --quiet' || true
holograd status again
sbatch --wait --array=2 --cpus-per-task=1 --wrap 'holograd run sweep.json --out again --shard slurm/4 --quiet'
same again
echo "\$ sbatch --ntasks=2 --cpus-per-task=1 packed.sbatch sweep.json packed --pack 1"
sbatch --wait --ntasks=2 --cpus-per-task=1 "$root/examples/slurm/packed.sbatch" sweep.json packed --pack 1
same packed
cat holograd-*.txt
echo "job arrays and packed jobs make the folder of one process"
}
[ "$part" = mpi ] || sweeps
[ "$part" != sweeps ] || exit 0

# One run by several processes together; without the feature it is refused.
told=$(OMPI_COMM_WORLD_SIZE=2 "$program" run digits 2>&1 || true)
if grep -q 'built without the feature `mpi`' <<<"$told"; then
  echo "skipped: the MPI job, for which the program was built without the feature mpi"
  exit 0
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
train=(--set epochs=3 --set schedule=constant --set batch_size=40 --set 'data={"digits":{"test_fraction":0.8}}')
holograd run digits "${train[@]}" --out alone --quiet
echo "\$ sbatch --ntasks=2 --cpus-per-task=1 mpi.sbatch digits together"
job=$(sbatch --parsable --ntasks=2 --cpus-per-task=1 "$root/examples/slurm/mpi.sbatch" digits together "${train[@]}")
until [ -s together/metrics.jsonl ]; do sleep 0.2; done
scancel "$job"
while [ -n "$(squeue -h -j "$job" 2>/dev/null)" ]; do sleep 0.2; done
echo "cancelled after $(wc -l <together/metrics.jsonl) epochs; submitted again:"
sbatch --wait --ntasks=2 --cpus-per-task=1 "$root/examples/slurm/mpi.sbatch" digits together --set epochs=3
holograd verify together
cmp together/parameters.safetensors alone/parameters.safetensors
cmp <(sed 's/"seconds":[^,}]*//' together/metrics.jsonl) <(sed 's/"seconds":[^,}]*//' alone/metrics.jsonl)
grep -h "processes" $(ls -t holograd-*.txt | head -1)
echo "an MPI job learns what one process learns"

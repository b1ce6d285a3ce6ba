# Runs side by side, for run.sh and study.sh: on a CPU one run a core, on a GPU one after the other.
#
#   stage TITLE             prints which stage of how many begins
#   start NAME COMMAND...   begins a run in the background, as soon as a core is free
#   run NAME COMMAND...     the same, and waits for it
#   finish                  waits for all runs
#
# NAME stands before each line that a run prints. If a run fails, the script ends with its name as soon as the others
# have finished. Ctrl-C ends all of them. Works with bash 3.2, which macOS has. `CORES=1 make run` takes less memory.

if nvidia-smi -L 2>/dev/null | grep '^GPU' >/dev/null; then
  PROFILE=gpu THREADS= CORES=1
else
  # Small matrices gain little from a second thread; and without the compiler of torch each start is a second shorter.
  PROFILE=tiny THREADS="OMP_NUM_THREADS=1 TORCHDYNAMO_DISABLE=1"
  CORES=${CORES:-$(env -u OMP_NUM_THREADS nproc 2>/dev/null || sysctl -n hw.ncpu)}
fi

begun=0 stages=$(grep -c '^stage ' "${0##*/}")
cr=$'\r'
scratch=$(mktemp -d)
mkfifo "$scratch/turn"
exec 9<>"$scratch/turn" # holds one empty line: who has read it may print, and then puts it back
echo >&9
trap 'end_all; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP PIPE

stage() {
  begun=$((begun + 1))
  printf '\n[%d/%d] %s\n' "$begun" "$stages" "$1"
}

start() {
  local name=$1
  shift
  while [ "$(jobs -rp | wc -l)" -ge "$CORES" ]; do sleep 0.2; done
  stop_if_failed
  set -m # a process group for each run: what it starts ends with it
  { env PYTHONUNBUFFERED=1 $THREADS "$@" </dev/null 2>&1 || echo "$name" >>"$scratch/failed"; } | label "$name" &
  set +m
}

run() {
  start "$@"
  wait $!
  stop_if_failed
}

finish() {
  wait
  stop_if_failed
}

# Five times at most: a process that is only just being started can lose a signal.
end_all() {
  local group groups left try
  groups=$(jobs -rp)
  for try in 1 2 3 4 5; do
    left=
    for group in $groups; do
      if kill -- -"$group" 2>/dev/null; then left=yes; fi
    done
    if [ -z "$left" ]; then break; fi
    sleep 1
  done
  wait
}

stop_if_failed() {
  [ -e "$scratch/failed" ] || return 0
  wait
  echo "error: failed: $(paste -sd ' ' "$scratch/failed"); see above, then give the same command again to go on" >&2
  exit 1
}

# Print the lines of stdin with a name before each. Of a progress bar, what a terminal would show in the end.
label() {
  local line
  trap '' PIPE # without a reader (make run | head) the runs go on
  while IFS= read -r line || [ -n "$line" ]; do
    line=${line%$cr}
    read -r -u 9
    printf '%-12s | %s\n' "$1" "${line##*$cr}" 2>/dev/null || true
    echo >&9
  done
}

#!/usr/bin/env bash
# All that only a GPU shows, in ten minutes: environment, tests (no step waits, bf16, fp16, deterministic, torch.compile,
# NCCL with one process, batches in the GPU's memory), what distilling costs.
#
#     bash benchmarks/gpu.sh OUT          # from the repository's root; results as JSON and logs below OUT
#     WHEELS=folder bash benchmarks/gpu.sh OUT    # installs wheels of what is missing first, where no registry is reached
#
# Each part has its own time limit and leaves OUT/<part>.json and OUT/<part>.log, whatever becomes of the others.
# PYTHON is the interpreter (python3), LIMIT the seconds of all parts together (570).
set -u
out=${1:?usage: bash benchmarks/gpu.sh OUT}
python=${PYTHON:-python3}
limit=${LIMIT:-570}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1

if [ -n "${WHEELS:-}" ]; then
  site=$(mktemp -d)
  "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl >"$out/wheels.log" 2>&1
  export PYTHONPATH="$PYTHONPATH:$site"
fi

# part NAME SECONDS COMMAND...: runs it, writes NAME.log, and in NAME.json how it ended unless it has written that itself
part() {
  local name=$1 most=$2 began=$SECONDS code
  shift 2
  local left=$((limit - SECONDS))
  [ "$most" -le "$left" ] || most=$left
  if [ "$most" -lt 5 ]; then
    code=not_started
  else
    timeout --kill-after=5 "$most" "$@" >"$out/$name.log" 2>&1
    code=$?
  fi
  printf '{"part": "%s", "exit": "%s", "seconds": %d, "limit": %d}\n' \
    "$name" "$code" $((SECONDS - began)) "$most" >>"$out/parts.jsonl"
  echo "$name: exit $code after $((SECONDS - began)) s"
}

tests() {
  local name=$1 most=$2
  shift 2
  # `load`: each file is one, which `loadfile`, as the suite runs, would give to one of the workers.
  part "$name" "$most" "$python" -m pytest -q -n "${WORKERS:-4}" --dist load --junit-xml="$out/$name.xml" "$@"
  "$python" benchmarks/junit_json.py "$out/$name.xml" "$out/$name.json" || true
}

rm -f "$out/parts.jsonl"
part environment 40 "$python" benchmarks/gpu_environment.py "$out/environment.json"
tests engine 150 tests/distill/engine/test_gpu.py
part table 240 "$python" benchmarks/training.py --rounds "${ROUNDS:-5}" --out "$out/table.json" ${TABLE:-}
tests losses 60 tests/distill/losses/test_losses_edges.py -k cuda
part table_fp16 45 "$python" benchmarks/training.py --rounds 3 --precision fp16 --out "$out/table_fp16.json" \
  ${TABLE:---pair mobilenetv2-224-resnet50}
part table_loading 45 "$python" benchmarks/training.py --rounds 2 --decoded-cache off --out "$out/table_loading.json" \
  ${TABLE:---pair mobilenetv2-224-resnet50}
cat "$out/parts.jsonl"

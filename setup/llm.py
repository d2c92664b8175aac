#!/usr/bin/env python3
"""Serve a language model by llama.cpp's HTTP server on a free port of the loopback, until SIGTERM.

usage: llm.py model.gguf folder

When it is healthy, its address and its API key are in the file `env` of the folder, as shell exports.
"""

import os
import pathlib
import secrets
import signal
import sys
import urllib.request

import xllamacpp

CONTEXT_TOKENS = 2048
PARALLEL = 2


def parameters(model, key):
    """What llama.cpp is to do. Port 0 is any free one."""
    wanted = xllamacpp.CommonParams()
    wanted.model.path = model
    wanted.model_alias = {"smollm2"}
    wanted.hostnames = ["127.0.0.1"]
    wanted.port = 0
    wanted.api_keys = [key]
    wanted.n_parallel = PARALLEL
    wanted.n_ctx = PARALLEL * CONTEXT_TOKENS
    # Threads wait for each other in a busy loop, which on a machine with other work costs more than they bring.
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
    return wanted


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: llm.py model.gguf folder")
    ends = {signal.SIGTERM, signal.SIGINT}
    # Before the server's threads are made, which inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    key = secrets.token_hex(16)
    server = xllamacpp.Server(parameters(sys.argv[1], key))
    with urllib.request.urlopen(f"{server.listening_address}/health", timeout=60) as health:
        health.read()
    part = pathlib.Path(sys.argv[2], "env.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as env:
        env.write(f"export RAGSTONE_LLM_URL='{server.listening_address}/v1'\n")
        env.write(f"export RAGSTONE_LLM_KEY='{key}'\n")
    part.rename(part.with_name("env"))
    signal.sigwait(ends)
    # At once: llama.cpp would first wait half a minute for answers that have begun.
    os._exit(0)


if __name__ == "__main__":
    main()

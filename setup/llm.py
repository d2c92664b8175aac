#!/usr/bin/env python3
"""Serves a language model with llama.cpp's HTTP server on a free port of the loopback, until SIGTERM.

usage: llm.py model.gguf folder

When the server is healthy, it writes its address and API key as shell exports into the file `env` of the folder.
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
    """Returns llama.cpp's parameters. Port 0 is any free port."""
    wanted = xllamacpp.CommonParams()
    wanted.model.path = model
    wanted.model_alias = {"smollm2"}
    wanted.hostnames = ["127.0.0.1"]
    wanted.port = 0
    wanted.api_keys = [key]
    wanted.n_parallel = PARALLEL
    wanted.n_ctx = PARALLEL * CONTEXT_TOKENS
    # With several threads, these wait for each other in busy loops, which on a busy machine costs more than
    # it gains.
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
    return wanted


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: llm.py model.gguf folder")
    ends = {signal.SIGTERM, signal.SIGINT}
    # Set before the server's threads are created, which inherit it.
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
    # Exits at once: llama.cpp would first wait half a minute for answers in progress.
    os._exit(0)


if __name__ == "__main__":
    main()

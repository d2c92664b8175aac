#!/usr/bin/env python3
"""Computes the manifest's golden vectors by a forward pass in numpy, and checks the ONNX file against them.

usage: golden_minilm.py model.safetensors model-folder manifest.json

The forward pass shares no code with the ONNX graph but the reader of the weights. Needs numpy, onnx, onnxruntime
and tokenizers; a developer runs it when the model changes, set-up does not.
"""

import hashlib
import json
import math
import pathlib
import sys

import numpy as np
import onnxruntime
from convert_minilm import read_safetensors
from tokenizers import Tokenizer

SENTENCES = [
    "PostgreSQL is a relational database.",
    "How do I take a base backup?",
    "The quick brown fox jumps over the lazy dog, while Ærøskøbing's café serves naïve tourists 42 crêpes for €3.50 each.",
    (
        "To insert a row, use INSERT INTO weather VALUES ('San Francisco', 46, 50, 0.25, '1994-11-27'); the same table can "
        "be filled from a file with COPY, which is usually faster because it is optimised for this application, while "
        "allowing less flexibility than INSERT."
    ),
]
TOLERANCE = 1e-5


def layer_norm(x, weights, name):
    centred = x - x.mean(-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return centred / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def forward(weights, ids):
    """Returns one text's unit vector, mean-pooled, in float64."""
    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + weights["embeddings.token_type_embeddings.weight"][0]
    x = layer_norm(x, weights, "embeddings.LayerNorm")
    for layer in range(6):
        name = f"encoder.layer.{layer}"
        query, key, value = (linear(x, weights, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        context = np.empty_like(query)
        for head in range(12):
            columns = slice(head * 32, head * 32 + 32)
            scores = query[:, columns] @ key[:, columns].T / math.sqrt(32)
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            context[:, columns] = shares / shares.sum(-1, keepdims=True) @ value[:, columns]
        attended = linear(context, weights, f"{name}.attention.output.dense")
        x = layer_norm(x + attended, weights, f"{name}.attention.output.LayerNorm")
        narrow = linear(gelu(linear(x, weights, f"{name}.intermediate.dense")), weights, f"{name}.output.dense")
        x = layer_norm(x + narrow, weights, f"{name}.output.LayerNorm")
    pooled = x.mean(0)
    return pooled / np.linalg.norm(pooled)


def onnx_vectors(model, batch):
    """Returns the ONNX file's vectors for token lists of unequal length in one padded batch."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    ids = np.zeros((len(batch), max(map(len, batch))), "int64")
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    states = session.run(["last_hidden_state"], inputs)[0]
    pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


def main():
    if len(sys.argv) != 4:
        sys.exit("usage: golden_minilm.py model.safetensors model-folder manifest.json")
    folder, manifest_path = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    weights = {name: tensor.astype("float64") for name, tensor in read_safetensors(sys.argv[1]).items()}
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    batch = [tokenizer.encode(text).ids for text in SENTENCES]
    expected = np.array([forward(weights, ids) for ids in batch])
    difference = np.abs(expected - onnx_vectors(folder / "model.onnx", batch)).max()
    print(f"largest difference between numpy and ONNX Runtime: {difference:.2e}")
    if difference > TOLERANCE:
        sys.exit(f"the ONNX file is wrong: expected at most {TOLERANCE}")
    manifest = {
        "name": "all-MiniLM-L6-v2",
        "dimensions": 384,
        "max_tokens": 256,
        "pooling": "mean",
        "normalize": True,
        "query_prefix": "",
        "document_prefix": "",
        "licence": "Apache-2.0",
        "files": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.onnx", "tokenizer.json")
        },
        "golden": [
            {"text": text, "values": [round(float(value), 7) for value in vector[:8]]}
            for text, vector in zip(SENTENCES, expected)
        ],
    }
    manifest_path.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

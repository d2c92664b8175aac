#!/usr/bin/env python3
"""Writes a model that maps each token to a random vector, for benches whose results do not depend on the vectors' meaning.

usage: seeded_model.py DEFAULT_MODEL_FOLDER OUTPUT_FOLDER

It has the default model's tokenizer and 32 dimensions, and embeds a text by the mean of its tokens' vectors. It costs no
more than tokenization.
"""

import hashlib
import json
import pathlib
import shutil
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

DIMENSIONS, VOCABULARY = 32, 30522

source, folder = map(pathlib.Path, sys.argv[1:3])
folder.mkdir(parents=True, exist_ok=True)
shutil.copy(source / "tokenizer.json", folder / "tokenizer.json")

table = np.random.default_rng(1).standard_normal((VOCABULARY, DIMENSIONS)).astype(np.float32)
inputs = [
    helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
    for name in ("input_ids", "attention_mask", "token_type_ids")
]
output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", DIMENSIONS])
# The other inputs are used, multiplied by zero, so that every runtime keeps them.
nodes = [
    helper.make_node("Gather", ["table", "input_ids"], ["states"]),
    helper.make_node("Add", ["attention_mask", "token_type_ids"], ["others"]),
    helper.make_node("Cast", ["others"], ["floats"], to=TensorProto.FLOAT),
    helper.make_node("Mul", ["floats", "zero"], ["zeros"]),
    helper.make_node("Unsqueeze", ["zeros", "last"], ["wide"]),
    helper.make_node("Add", ["states", "wide"], ["last_hidden_state"]),
]
constants = [
    numpy_helper.from_array(table, "table"),
    numpy_helper.from_array(np.zeros((), dtype=np.float32), "zero"),
    numpy_helper.from_array(np.array([2], dtype=np.int64), "last"),
]
graph = helper.make_graph(nodes, "seeded", inputs, [output], constants)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
onnx.save(model, folder / "model.onnx")

tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.no_padding()
golden = []
for text in ("a word", "another sentence of some words"):
    vector = table[tokenizer.encode(text).ids].mean(axis=0)
    golden.append({"text": text, "values": [round(float(x), 7) for x in (vector / np.linalg.norm(vector))[:8]]})

manifest = json.loads((source / "manifest.json").read_text())
manifest.update(
    name=folder.name,
    dimensions=DIMENSIONS,
    golden=golden,
    files={name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.onnx", "tokenizer.json")},
)
(folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")

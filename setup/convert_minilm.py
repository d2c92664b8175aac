#!/usr/bin/env python3
"""Converts all-MiniLM-L6-v2's safetensors to the ONNX file that the engine runs.

usage: convert_minilm.py model.safetensors model.onnx

The model is a plain BERT of 6 layers (Devlin et al., NAACL 2019), so the graph is written here directly, with
numpy and the onnx package and no training framework. Only standard operators are used, in the layout that ONNX
Runtime recognises and fuses (Attention, LayerNormalization, BiasGelu); OpenVINO reads the same file. Operator set 11
is the newest in which ONNX Runtime 1.28 fuses Attention.
The bytes depend on the weights and on this script alone, which lets the manifest pin their SHA-256.

Inputs  input_ids, attention_mask, token_type_ids: int64 [batch, sequence]
Output  last_hidden_state: float32 [batch, sequence, 384]
"""

import json
import struct
import sys

import numpy as np
from onnx import TensorProto, helper

HIDDEN, HEADS, LAYERS = 384, 12, 6
HEAD = HIDDEN // HEADS
EPSILON = 1e-12
OPSET, IR_VERSION = 11, 6


def read_safetensors(path):
    """Return {name: array}; the format is a length, a JSON header and the raw bytes."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        start = file.tell()
        tensors = {}
        for name, entry in header.items():
            if name == "__metadata__" or entry["dtype"] != "F32":
                continue
            begin, end = entry["data_offsets"]
            file.seek(start + begin)
            tensors[name] = np.frombuffer(file.read(end - begin), "<f4").reshape(entry["shape"])
    return tensors


class Graph:
    """Nodes and initializers in the order in which they are added."""

    def __init__(self, weights):
        self.weights, self.nodes, self.initializers = weights, [], []

    def constant(self, name, array):
        array = np.ascontiguousarray(array)
        kind = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}[str(array.dtype)]
        self.initializers.append(helper.make_tensor(name, kind, array.shape, array.tobytes(), raw=True))
        return name

    def weight(self, name):
        return self.constant(name, self.weights[name])

    def node(self, operator, inputs, output, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def linear(self, x, name, output):
        """x · Wᵀ + b: MatMul and Add, because ONNX Runtime's fusions look for this pair and not for Gemm."""
        kernel = self.constant(f"{name}.kernel", self.weights[f"{name}.weight"].T)
        product = self.node("MatMul", [x, kernel], f"{output}/matmul")
        return self.node("Add", [product, self.weight(f"{name}.bias")], output)

    def layer_norm(self, x, name, output):
        """Layer normalisation (Ba, Kiros and Hinton 2016) in the primitives that opset 11 has."""
        mean = self.node("ReduceMean", [x], f"{output}/mean", axes=[-1])
        centred = self.node("Sub", [x, mean], f"{output}/centred")
        squares = self.node("Pow", [centred, "two"], f"{output}/squares")
        variance = self.node("ReduceMean", [squares], f"{output}/variance", axes=[-1])
        spread = self.node("Sqrt", [self.node("Add", [variance, "epsilon"], f"{output}/shifted")], f"{output}/spread")
        scaled = self.node("Div", [centred, spread], f"{output}/scaled")
        scaled = self.node("Mul", [scaled, self.weight(f"{name}.weight")], f"{output}/weighted")
        return self.node("Add", [scaled, self.weight(f"{name}.bias")], output)


def embeddings(graph):
    """Words, token types and positions, summed and normalised."""
    words = graph.node("Gather", [graph.weight("embeddings.word_embeddings.weight"), "input_ids"], "words")
    types = graph.node("Gather", [graph.weight("embeddings.token_type_embeddings.weight"), "token_type_ids"], "types")
    # The number of tokens is counted instead of slicing the table, so that shape inference can see that all
    # three summands have the same shape.
    shape = graph.node("Shape", ["input_ids"], "shape")
    ones = graph.node(
        "ConstantOfShape", [shape], "ones", value=helper.make_tensor("value", TensorProto.INT64, [1], [1])
    )
    places = graph.node("CumSum", [ones, graph.constant("axis", np.array(1, "int64"))], "places", exclusive=1)
    positions = graph.node("Gather", [graph.weight("embeddings.position_embeddings.weight"), places], "positions")
    summed = graph.node("Add", [words, types], "words_types")
    summed = graph.node("Add", [summed, positions], "embedded")
    return graph.layer_norm(summed, "embeddings.LayerNorm", "layer0")


def mask_bias(graph):
    """0 where a key is a token and -10000 where it is padding, [batch, 1, 1, sequence]."""
    one = graph.constant("one", np.array(1, "float32"))
    penalty = graph.constant("penalty", np.array(-10000, "float32"))
    mask = graph.node("Unsqueeze", ["attention_mask"], "mask3", axes=[1])
    mask = graph.node("Unsqueeze", [mask], "mask4", axes=[2])
    mask = graph.node("Cast", [mask], "mask_float", to=TensorProto.FLOAT)
    mask = graph.node("Sub", [one, mask], "mask_inverse")
    return graph.node("Mul", [mask, penalty], "mask_bias")


def attention(graph, x, mask, layer):
    """Multi-head self-attention (Vaswani et al., NeurIPS 2017) with its output projection."""
    name, out = f"encoder.layer.{layer}.attention", f"layer{layer}/attention"

    def heads(part, permutation):
        projected = graph.linear(x, f"{name}.self.{part}", f"{out}/{part}")
        split = graph.node("Reshape", [projected, "split_heads"], f"{out}/{part}/split")
        return graph.node("Transpose", [split], f"{out}/{part}/heads", perm=permutation)

    query = heads("query", [0, 2, 1, 3])
    key = heads("key", [0, 2, 3, 1])
    value = heads("value", [0, 2, 1, 3])
    scores = graph.node("MatMul", [query, key], f"{out}/products")
    scores = graph.node("Div", [scores, "head_scale"], f"{out}/scaled")
    scores = graph.node("Add", [scores, mask], f"{out}/scores")
    shares = graph.node("Softmax", [scores], f"{out}/shares", axis=3)
    context = graph.node("MatMul", [shares, value], f"{out}/context")
    context = graph.node("Transpose", [context], f"{out}/context/tokens", perm=[0, 2, 1, 3])
    context = graph.node("Reshape", [context, "join_heads"], f"{out}/context/joined")
    return graph.linear(context, f"{name}.output.dense", f"{out}/projected")


def feed_forward(graph, x, layer):
    """Two linear layers with the exact (erf) GELU of Hendrycks and Gimpel 2016 between them."""
    name, out = f"encoder.layer.{layer}", f"layer{layer}/feed_forward"
    wide = graph.linear(x, f"{name}.intermediate.dense", f"{out}/wide")
    erf = graph.node("Erf", [graph.node("Div", [wide, "sqrt2"], f"{out}/scaled")], f"{out}/erf")
    gate = graph.node("Add", [erf, "one"], f"{out}/gate")
    gelu = graph.node("Mul", [graph.node("Mul", [wide, gate], f"{out}/gated"), "half"], f"{out}/gelu")
    return graph.linear(gelu, f"{name}.output.dense", f"{out}/narrow")


def build(weights):
    """Return the ONNX model for the weights of `read_safetensors`."""
    graph = Graph(weights)
    mask = mask_bias(graph)
    graph.constant("split_heads", np.array([0, 0, HEADS, HEAD], "int64"))
    graph.constant("join_heads", np.array([0, 0, HIDDEN], "int64"))
    graph.constant("head_scale", np.array(np.sqrt(HEAD), "float32"))
    graph.constant("sqrt2", np.array(np.sqrt(2.0), "float32"))
    graph.constant("two", np.array(2, "float32"))
    graph.constant("epsilon", np.array(EPSILON, "float32"))
    graph.constant("half", np.array(0.5, "float32"))
    x = embeddings(graph)
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        attended = graph.node("Add", [attention(graph, x, mask, layer), x], f"layer{layer}/attention/sum")
        attended = graph.layer_norm(attended, f"{name}.attention.output.LayerNorm", f"layer{layer}/attended")
        summed = graph.node("Add", [feed_forward(graph, attended, layer), attended], f"layer{layer}/sum")
        output = "last_hidden_state" if layer == LAYERS - 1 else f"layer{layer + 1}"
        x = graph.layer_norm(summed, f"{name}.output.LayerNorm", output)
    shape = ["batch", "sequence"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, shape)
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    outputs = [helper.make_tensor_value_info(x, TensorProto.FLOAT, [*shape, HIDDEN])]
    body = helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, outputs, graph.initializers)
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(body, opset_imports=opset, ir_version=IR_VERSION, producer_name="ragstone")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: convert_minilm.py model.safetensors model.onnx")
    model = build(read_safetensors(sys.argv[1]))
    with open(sys.argv[2], "wb") as file:
        file.write(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()

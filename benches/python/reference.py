#!/usr/bin/env python3
"""Embeds passages as a plain Python program would, once per line of standard input.

usage: reference.py loop|fastembed MODEL_FOLDER PASSAGES.json THREADS BATCH [openvino]

Prints `ready`, then for each line of standard input the seconds for all passages, including tokenization.
"""

import json
import pathlib
import sys
import tempfile
import time


def plain_loop(folder, threads, batch, openvino):
    """Uses onnxruntime and tokenizers with the model's own files; texts are sorted by length, and batches padded to their longest text."""
    import numpy as np
    import onnxruntime as ort
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.no_padding()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    providers = ["CPUExecutionProvider"]
    if openvino:
        hints = {
            "CPU": {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        }
        providers = [("OpenVINOExecutionProvider", {"device_type": "CPU", "load_config": json.dumps(hints)})]
    session = ort.InferenceSession(str(folder / "model.onnx"), options, providers=providers)
    names = [each.name for each in session.get_inputs()]

    def embed(texts):
        encoded = tokenizer.encode_batch(texts)
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i].ids))
        vectors = [None] * len(texts)
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            length = max(len(encoded[i].ids) for i in part)
            ids = np.zeros((len(part), length), dtype=np.int64)
            mask = np.zeros((len(part), length), dtype=np.int64)
            for row, i in enumerate(part):
                ids[row, : len(encoded[i].ids)] = encoded[i].ids
                mask[row, : len(encoded[i].ids)] = 1
            feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            states = session.run(None, {name: feed[name] for name in names})[0]
            weights = mask[:, :, None].astype(np.float32)
            pooled = (states * weights).sum(axis=1) / weights.sum(axis=1)
            pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
            for row, i in enumerate(part):
                vectors[i] = pooled[row]
        return vectors

    return embed


def fastembed_loop(folder, threads, batch):
    """Uses fastembed's public API with the same model file; fastembed needs three more files beside it."""
    from fastembed import TextEmbedding

    copy = pathlib.Path(tempfile.mkdtemp())
    for name in ("model.onnx", "tokenizer.json"):
        (copy / name).symlink_to(folder / name)
    (copy / "config.json").write_text(json.dumps({"pad_token_id": 0, "model_type": "bert"}))
    (copy / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 256, "pad_token": "[PAD]"}))
    (copy / "special_tokens_map.json").write_text(json.dumps({"pad_token": "[PAD]", "unk_token": "[UNK]"}))
    name = "sentence-transformers/all-MiniLM-L6-v2"
    model = TextEmbedding(model_name=name, specific_model_path=str(copy), threads=threads)
    return lambda texts: list(model.embed(texts, batch_size=batch))


def main():
    kind, folder, passages, threads, batch = sys.argv[1:6]
    folder, threads, batch = pathlib.Path(folder), int(threads), int(batch)
    texts = json.loads(pathlib.Path(passages).read_text())
    if kind == "loop":
        embed = plain_loop(folder, threads, batch, "openvino" in sys.argv[6:])
    else:
        embed = fastembed_loop(folder, threads, batch)
    embed(texts[:8])
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        vectors = embed(texts)
        seconds = time.perf_counter() - start
        assert len(vectors) == len(texts) and len(vectors[0]) == 384
        print(seconds, flush=True)


if __name__ == "__main__":
    main()

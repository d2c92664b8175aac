"""The embedding model, run by fastembed in the web server's process."""

import json
import tempfile
from functools import cache
from pathlib import Path

from django.conf import settings
from fastembed import TextEmbedding
from tokenizers import Tokenizer

DIMENSIONS = 384
PASSAGE_TOKENS = 256


@cache
def model() -> TextEmbedding:
    """Loads Ragstone's model from its folder; fastembed needs three more files beside it."""
    folder = Path(tempfile.mkdtemp())
    for name in ("model.onnx", "tokenizer.json"):
        (folder / name).symlink_to(settings.MODEL_FOLDER / name)
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0, "model_type": "bert"}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 256, "pad_token": "[PAD]"}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "[PAD]", "unk_token": "[UNK]"}))
    name = "sentence-transformers/all-MiniLM-L6-v2"
    return TextEmbedding(model_name=name, specific_model_path=str(folder), threads=settings.MODEL_THREADS)


def embed(texts: list[str]) -> list:
    """Returns a vector of length 1 for each text."""
    return list(model().embed(texts, batch_size=32))


@cache
def tokenizer() -> Tokenizer:
    made = Tokenizer.from_file(str(settings.MODEL_FOLDER / "tokenizer.json"))
    made.no_truncation()
    made.no_padding()
    return made


def passages(text: str) -> list[str]:
    """Splits a text between its paragraphs into passages that fit the model's input."""
    cut, taken = [], 0
    for paragraph in filter(str.strip, text.split("\n\n")):
        tokens = len(tokenizer().encode(paragraph, add_special_tokens=False).ids)
        if cut and taken + tokens <= PASSAGE_TOKENS:
            cut[-1] += "\n\n" + paragraph
            taken += tokens
        else:
            cut.append(paragraph)
            taken = tokens
    return cut

"""The usual Python stack on the same pages: LangChain's splitter, fastembed, pgvector through LangChain, Chroma, BM25 in memory."""

import os
import sys
import uuid
from pathlib import Path

import bm25s
import chromadb
import httpx
import psycopg
from langchain_core.embeddings import Embeddings
from langchain_postgres import PGEngine, PGVectorStore
from langchain_postgres.v2.hybrid_search_config import HybridSearchConfig, reciprocal_rank_fusion
from langchain_postgres.v2.indexes import HNSWIndex
from langchain_text_splitters import Language, RecursiveCharacterTextSplitter
from rank_bm25 import BM25Okapi
from tokenizers import Tokenizer

sys.path.append(str(Path(__file__).parents[1] / "python"))
import parse_log
from reference import fastembed_loop

DIMENSIONS = 384
BATCH = 32


class Fastembed(Embeddings):
    """Ragstone's model, run by fastembed, for LangChain."""

    def __init__(self, folder):
        self.embed = fastembed_loop(folder, os.cpu_count(), BATCH)

    def embed_documents(self, texts):
        return [vector.tolist() for vector in self.embed(texts)]

    def embed_query(self, text):
        return self.embed([text])[0].tolist()


class Python:
    """A process with a connection to its own database."""

    def __init__(self, pages, questions, log, url, folder):
        self.pages, self.questions, self.log, self.url = pages, questions, log, url
        self.fastembed = Fastembed(folder)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.splitter = RecursiveCharacterTextSplitter.from_language(
            Language.MARKDOWN,
            chunk_size=256,
            chunk_overlap=0,
            length_function=lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids),
        )
        self.cut = self.passages()
        self.words = BM25Okapi([text.lower().split() for text in self.cut])
        self.index = bm25s.BM25()
        self.index.index(bm25s.tokenize(self.cut, stopwords="en", show_progress=False), show_progress=False)
        with psycopg.connect("dbname=stack_python", autocommit=True) as session:
            session.execute("CREATE EXTENSION vector")
            info = session.info
            address = f"postgresql+psycopg://{info.user}@/stack_python?host={info.host}&port={info.port}"
        self.engine = PGEngine.from_connection_string(address)
        self.chroma_client = chromadb.EphemeralClient(settings=chromadb.Settings(anonymized_telemetry=False))
        self.store = self.collection = None
        self.http = httpx.Client()
        self.fastembed.embed_documents(self.cut[:BATCH])

    def passages(self):
        return [text for *_, body in self.pages for text in self.splitter.split_text(body)]

    def chunk(self):
        return len(self.passages())

    def embed(self):
        return len(self.fastembed.embed_documents(self.cut[:500]))

    def fill_pgvector(self):
        config = HybridSearchConfig(
            tsv_column="words",
            tsv_lang="pg_catalog.english",
            fusion_function=reciprocal_rank_fusion,
            primary_top_k=40,
            secondary_top_k=40,
        )
        self.engine.init_vectorstore_table("filled", DIMENSIONS, overwrite_existing=True, hybrid_search_config=config)
        self.store = PGVectorStore.create_sync(self.engine, self.fastembed, "filled", hybrid_search_config=config)
        self.plain = PGVectorStore.create_sync(self.engine, self.fastembed, "filled")
        cut = self.passages()
        self.store.add_texts(cut)
        self.store.apply_vector_index(HNSWIndex())
        self.store.apply_hybrid_search_index()
        return len(cut)

    def fill_chroma(self):
        cut = self.passages()
        self.collection = self.chroma_client.create_collection(f"filled-{uuid.uuid4()}", embedding_function=None)
        most = self.chroma_client.get_max_batch_size()
        for start in range(0, len(cut), most):
            part = cut[start : start + most]
            self.collection.add(
                ids=[str(start + i) for i in range(len(part))],
                documents=part,
                embeddings=self.fastembed.embed_documents(part),
            )
        return len(cut)

    def parse_log(self):
        return len(parse_log.parse(self.log))

    def for_each(self, work):
        for question in self.questions:
            work(question)
        return len(self.questions)

    def bm25s(self):
        return self.for_each(
            lambda question: self.index.retrieve(
                bm25s.tokenize([question], stopwords="en", show_progress=False),
                corpus=self.cut,
                k=10,
                show_progress=False,
            )
        )

    def rank_bm25(self):
        return self.for_each(lambda question: self.words.get_top_n(question.lower().split(), self.cut, n=10))

    def pgvector(self):
        return self.for_each(lambda question: self.plain.similarity_search(question, k=10))

    def chroma(self):
        return self.for_each(
            lambda question: self.collection.query(
                query_embeddings=[self.fastembed.embed_query(question)], n_results=10
            )
        )

    def hybrid(self):
        return self.for_each(lambda question: self.store.similarity_search(question, k=10))

    def ask(self):
        return self.for_each(self.answer)

    def answer(self, question):
        found = self.store.similarity_search(question, k=10)
        passages = "\n\n".join(f"[{number}] {each.page_content}" for number, each in enumerate(found, 1))
        messages = [
            {"role": "system", "content": "Answer from the passages and cite them by number."},
            {"role": "user", "content": f"{passages}\n\n{question}"},
        ]
        reply = self.http.post(f"{self.url}/chat/completions", json={"model": "at-once", "messages": messages})
        return reply.raise_for_status().json()["choices"][0]["message"]["content"]

    def close(self):
        self.http.close()

#!/usr/bin/env python3
"""A LangGraph graph over Ragstone: it searches with rag.search, answers with rag.ask, and logs each step to rag.steps.
LangGraph's own checkpointer keeps its state in the same database, so that a conversation continues after a restart.

usage: support_graph.py thread question

It connects as psql does (PGHOST, PGDATABASE, …), asks the collection that RAGSTONE_COLLECTION names (manual), and has
RAGSTONE_MODEL answer (local/extractive, which needs no provider). Questions of one thread are one conversation.
"""

import dataclasses
import operator
import os
import sys
from typing import Annotated, TypedDict

import psycopg
from agent_log import Run
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

COLLECTION = os.environ.get("RAGSTONE_COLLECTION", "manual")
MODEL = os.environ.get("RAGSTONE_MODEL", "local/extractive")


class State(TypedDict, total=False):
    """The part of a conversation that the checkpointer stores."""

    question: str
    titles: list[str]
    answer: str
    answered: bool
    history: Annotated[list[str], operator.add]


@dataclasses.dataclass
class Context:
    """The part of a run that is not stored in checkpoints."""

    connection: psycopg.Connection
    run: Run


def retrieve(state: State, runtime: Runtime[Context]) -> State:
    """Searches for pages about the question."""
    query = {"query": state["question"], "collection": COLLECTION}
    with runtime.context.run.step("retrieval", "retrieve", input=query) as step:
        found = runtime.context.connection.execute(
            "SELECT DISTINCT ON (rank) title FROM rag.search(%s, %s, k => 3, per_source => true) ORDER BY rank",
            (COLLECTION, state["question"]),
        ).fetchall()
        step["output"] = {"titles": [title for (title,) in found]}
    return {"titles": [title for (title,) in found]}


def answer(state: State, runtime: Runtime[Context]) -> State:
    """Returns an answer with citations, or the statement that the collection has none."""
    with runtime.context.run.step("model", "answer", input={"question": state["question"], "model": MODEL}) as step:
        text, answered = runtime.context.connection.execute(
            "SELECT answer, answered FROM rag.ask(%s, %s, model => %s)", (COLLECTION, state["question"], MODEL)
        ).fetchone()
        step["output"] = {"answer": text, "answered": answered}
    return {"answer": text, "answered": answered, "history": [state["question"], text]}


def hand_over(state: State, runtime: Runtime[Context]) -> State:
    """Hands a question over to a person if the collection does not answer it."""
    with runtime.context.run.step("custom", "hand_over", input={"question": state["question"]}) as step:
        text = f"A person will look into it. Perhaps it is in: {', '.join(state['titles'])}."
        step["output"] = {"answer": text}
    return {"answer": text}


def graph(checkpointer):
    """Builds the graph: retrieve → answer → end, or → hand_over if there is no answer."""
    builder = StateGraph(State, context_schema=Context)
    for node in (retrieve, answer, hand_over):
        builder.add_node(node)
    builder.add_edge(START, "retrieve")
    builder.add_edge("retrieve", "answer")
    builder.add_conditional_edges("answer", lambda state: END if state["answered"] else "hand_over")
    builder.add_edge("hand_over", END)
    return builder.compile(checkpointer=checkpointer)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    thread, question = sys.argv[1:]
    with psycopg.connect(autocommit=True) as connection, PostgresSaver.from_conn_string("") as checkpointer:
        checkpointer.setup()
        with Run(connection, "support_graph", {"thread": thread, "question": question}) as run:
            state = graph(checkpointer).invoke(
                {"question": question}, {"configurable": {"thread_id": thread}}, context=Context(connection, run)
            )
            run.output = {"answer": state["answer"]}
        print(state["answer"])
        print(f"({len(state['history']) // 2} questions in this conversation; run {run.id})")


if __name__ == "__main__":
    main()

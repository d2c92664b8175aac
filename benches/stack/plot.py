#!/usr/bin/env python3
"""Plots the results of run.py with their spread, and prints them as a Markdown table.

usage: plot.py RESULTS.json DRAWING.svg
"""

import json
import pathlib
import statistics
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

OURS, THEIRS = "#1f6f5c", "#9aa3ad"


def rates(contest):
    """Returns the items per second of each contestant in each round; contestants count different items."""
    return {who: [contest["count"][who] / each for each in seconds] for who, seconds in contest["seconds"].items()}


def draw(results, path):
    plt.rcParams["svg.hashsalt"] = "ragstone"
    contests = results["contests"]
    figure, axes = plt.subplots(len(contests), 1, figsize=(8, 1.1 * len(contests) + 1))
    for axis, contest in zip(axes, contests, strict=True):
        found = rates(contest)
        names, middles = list(found), [statistics.median(each) for each in found.values()]
        spread = [
            [middle - min(each) for middle, each in zip(middles, found.values(), strict=True)],
            [max(each) - middle for middle, each in zip(middles, found.values(), strict=True)],
        ]
        axis.barh(
            names,
            middles,
            xerr=spread,
            color=[OURS] + [THEIRS] * (len(names) - 1),
            error_kw={"linewidth": 1, "capsize": 3},
        )
        axis.invert_yaxis()
        axis.set_title(f"{contest['name']}: {contest['unit']} a second", loc="left", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def table(results):
    lines = ["| | Ragstone | beside | times |", "|---|---|---|---|"]
    for contest in results["contests"]:
        found = rates(contest)
        ours, *others = found
        middle = statistics.median(found[ours])
        for who in others:
            theirs = statistics.median(found[who])
            lines.append(
                f"| {contest['name']} | `{ours}` {shown(found[ours])} {contest['unit']}/s | {who} {shown(found[who])} | {middle / theirs:.1f} |"
            )
    return "\n".join(lines)


def shown(values):
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:,.0f} ({least:,.0f} to {most:,.0f})"


def main():
    results = json.loads(pathlib.Path(sys.argv[1]).read_text())
    draw(results, sys.argv[2])
    print(table(results))


if __name__ == "__main__":
    main()

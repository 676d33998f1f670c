"""How this service grows with its movies: ``python -m benchmarks.contest.growth --help``."""

import argparse
import json
import math
import random
import shlex
import sys
import time
from html import escape
from pathlib import Path

from . import faces, load, report
from .__main__ import WORK, requests_of, say
from .contender import LOAD_S, Contender, Server
from .rows import write_rows

REBUILD = (
    "$PYTHON -c \"import os; from settings import *; os.execve(CINELOG, [CINELOG, 'rebuild'],"
    ' ENVIRONMENT)"'
)
QUICK_S = 0.05
WIDTH, HEIGHT, LEFT, BOTTOM, RIGHT = 760, 320, 60, 28, 150
COLORS = ("#0969da", "#bf8700", "#1a7f37", "#cf222e", "#8250df", "#6e7781")


def wait_for_lists(api):
    """Wait until no worker reads the records of the new generation any more."""
    quick = 0
    for _ in range(1_000):
        began = time.monotonic()
        api.call(api.face.list())
        quick = quick + 1 if time.monotonic() - began < QUICK_S else 0
        if quick == 50:
            return


def measure(contender, count, options):
    """Return the figures of one size: of the kinds, and of all."""
    rows = WORK / f"rows-{count}.jsonl"
    titles, rng = write_rows(rows, count), random.Random(count)
    server = Server(contender, rows, WORK / "growth", "")
    try:
        found = {"import s": server.load_s, "start s": server.ready_s}
        found["memory MB"] = server.memory_mb()
        began = time.monotonic()
        contender.run(REBUILD, LOAD_S, **server.environment)
        found["rebuild s"] = time.monotonic() - began
        wait_for_lists(server.api)
        kinds = {}
        for kind in options.kinds:
            how, paths = requests_of(kind, server.api, titles, rng)
            alone = load.run(server.api, how, paths, 1, options.seconds)
            many = load.run(server.api, how, paths, options.connections, options.seconds)
            kinds[kind] = {"p50 alone": alone.p50, "errors": alone.errors + many.errors}
            kinds[kind] |= {"rate": many.rate, "p99": many.p99}
        return found | {"kinds": kinds}
    finally:
        server.close()


def bytes_per_movie(results):
    """Return by size what a movie adds to the memory of the smallest size, in bytes."""
    first = min(results)
    base = results[first]["memory MB"]
    return {
        count: (one["memory MB"] - base) * 1024 * 1024 / (count - first)
        for count, one in results.items()
        if count > first
    }


def markdown(results, command, connections):
    lines = ["# Growth", "", f"{report.machine()}.", "", f"    {command}", ""]
    lines += ["| movies | import s | start s | rebuild s | memory MB | bytes a movie |"]
    lines += ["|---|---|---|---|---|---|"]
    more = bytes_per_movie(results)
    for count, one in results.items():
        figures = [f"{one[name]:,.1f}" for name in ("import s", "start s", "rebuild s")]
        figures += [f"{one['memory MB']:,.0f}", f"{more[count]:,.0f}" if count in more else "-"]
        lines.append(f"| {count:,} | {' | '.join(figures)} |")
    lines += ["", "Memory is that of all processes after the start and a single list.", ""]
    head = f"p50 alone ms | requests/s | p99 ms, {connections} connections | errors"
    for kind in next(iter(results.values()))["kinds"]:
        lines += ["", f"## {kind}", "", f"| movies | {head} |", "|---|---|---|---|---|"]
        for count, one in results.items():
            of = one["kinds"][kind]
            cells = [f"{count:,}", f"{of['p50 alone']:,.2f}", f"{of['rate']:,.0f}"]
            cells += [f"{of['p99']:,.1f}", f"{of['errors']:,}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def svg(caption, curves):
    """Return lines over logarithmic axes; ``curves`` are {name: {movies: ms}}, all above zero."""
    xs = [math.log10(x) for curve in curves.values() for x in curve]
    ys = [math.log10(y) for curve in curves.values() for y in curve.values()]
    x0, x1, y0, y1 = min(xs), max(xs), math.floor(min(ys)), math.ceil(max(ys))
    across, down = (WIDTH - LEFT - RIGHT) / ((x1 - x0) or 1), (HEIGHT - 60) / ((y1 - y0) or 1)

    def place(x, y):
        return LEFT + (math.log10(x) - x0) * across, HEIGHT - BOTTOM - (math.log10(y) - y0) * down

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<style>{report.STYLE}polyline{{fill:none;stroke-width:2}}</style>",
        f"<title>{escape(caption)}</title>",
        f'<text class="c" x="0" y="14">{escape(caption)}</text>',
    ]
    for power in range(y0, y1 + 1):
        y = place(10**x0, 10**power)[1]
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10**power:g}</text>')
    for count in sorted({x for curve in curves.values() for x in curve}):
        x = place(count, 10**y0)[0]
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{count:,}</text>')
    for number, (name, curve) in enumerate(curves.items()):
        color = COLORS[number % len(COLORS)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*one) for one in curve.items()))
        y = 40 + 18 * number
        dash = ' stroke-dasharray="5 4"' if number >= len(COLORS) else ""
        parts.append(f'<polyline stroke="{color}"{dash} points="{points}"/>')
        box = f'x="{WIDTH - RIGHT + 20}" y="{y}" width="10" height="10"'
        parts.append(f'<rect style="fill:{color}" {box}/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 36}" y="{y + 10}">{escape(name)}</text>')
    return "".join(parts) + "</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = [1_000, 10_000, 100_000, 1_000_000]
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes)
    parser.add_argument("--kinds", nargs="+", default=list(faces.KINDS), choices=faces.KINDS)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=WORK)
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    contender = Contender("cinelog_sqlite", WORK)
    contender.install()
    results = {}
    for count in sorted(options.sizes):
        say(f"{count:,} movies")
        results[count] = measure(contender, count, options)
    command = f"python -m benchmarks.contest.growth {shlex.join(sys.argv[1:])}".strip()
    output = options.output
    output.mkdir(parents=True, exist_ok=True)
    (output / "GROWTH.md").write_text(markdown(results, command, options.connections))
    (WORK / "growth.json").write_text(json.dumps(results, indent=1))
    curves = {
        kind: {count: max(0.01, one["kinds"][kind]["p50 alone"]) for count, one in results.items()}
        for kind in options.kinds
    }
    (output / "growth.svg").write_text(svg("p50 by movies, one connection: ms", curves))


if __name__ == "__main__":
    main()

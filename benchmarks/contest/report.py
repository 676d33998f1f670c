"""Writes the results as Markdown and as SVG."""

import platform
import statistics
from html import escape
from pathlib import Path

WIDTH, BAR, GAP, LEFT = 760, 16, 6, 230
STYLE = (
    "text{font:12px sans-serif;fill:#57606a}.c{font-weight:bold}rect{fill:#8c959f}.o{fill:#0969da}"
    "@media(prefers-color-scheme:dark){text{fill:#9198a1}.o{fill:#4493f8}}"
)


def machine():
    """Return a line about this machine."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(": ")[1] for line in info if line.startswith("model name")), "unknown")
    cores = sum(line.startswith("processor") for line in info)
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{cores} cores ({model}), {system}"


def spread(rates):
    """Return the median of rates with their range."""
    middle = statistics.median(rates)
    if len(rates) == 1:
        return f"{middle:,.0f}"
    return f"{middle:,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def markdown(results, facts):
    """Return the report; ``results`` are by size, connections, kind and title."""
    lines = ["# Results", "", f"{facts['machine']}.", "", f"    {facts['command']}", ""]
    lines += [facts["about"], "", "| contender | versions |", "|---|---|"]
    lines += [f"| {title} | {text} |" for title, text in facts["versions"].items()]
    for title, problem in facts["absent"].items():
        lines.append(f"| {title} | not measured: {problem} |")
    for size, of_size in results.items():
        lines += [
            "",
            f"## {size:,} movies",
            "",
            "| contender | load s | start s | memory MB |",
            "|---|---|---|---|",
        ]
        for title, (load_s, ready_s, memory) in facts["servers"][size].items():
            lines.append(f"| {title} | {load_s:,.1f} | {ready_s:,.1f} | {memory:,.0f} |")
        for connections, kinds in of_size.items():
            for kind, titles in kinds.items():
                lines += ["", f"### {kind}, {connections} connections", ""]
                lines += [
                    "| contender | requests/s | p50 ms | p99 ms | errors |",
                    "|---|---|---|---|---|",
                ]
                ranked = sorted(titles.items(), key=lambda one: -middle(one[1]))
                for title, rounds in ranked:
                    p50, p99 = (
                        statistics.median(getattr(r, name) for r in rounds)
                        for name in ("p50", "p99")
                    )
                    errors = sum(r.errors for r in rounds)
                    rates = spread([r.rate for r in rounds])
                    lines.append(f"| {title} | {rates} | {p50:,.2f} | {p99:,.1f} | {errors:,} |")
    if facts["differences"]:
        lines += ["", "## Counts that differ", "", *(f"- {one}" for one in facts["differences"])]
    return "\n".join(lines) + "\n"


def middle(rounds):
    """Return the median of requests/s."""
    return statistics.median(r.rate for r in rounds)


def svg(caption, rates, ours=()):
    """Return bars of requests/s by title, the longest first; those of ``ours`` stand out."""
    ranked = sorted(rates.items(), key=lambda one: -one[1])
    most = max(rates.values(), default=1) or 1
    height = 34 + len(ranked) * (BAR + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<style>{STYLE}</style>",
        f"<title>{escape(caption)}</title>",
        f'<text class="c" x="0" y="14">{escape(caption)}</text>',
    ]
    for number, (title, rate) in enumerate(ranked):
        y = 26 + number * (BAR + GAP)
        long = max(1, rate / most * (WIDTH - LEFT - 70))
        mark = ' class="o"' if title in ours else ""
        parts.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(title)}</text>')
        parts.append(f'<rect{mark} x="{LEFT}" y="{y}" width="{long:.1f}" height="{BAR}" rx="2"/>')
        parts.append(f'<text x="{LEFT + long + 6:.1f}" y="{y + 12}">{rate:,.0f}</text>')
    return "".join(parts) + "</svg>\n"

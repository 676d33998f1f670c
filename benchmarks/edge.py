"""Throughput of GET /movies/{id}/ with and without limits, metrics, logs and headers.

    .venv/bin/python benchmarks/edge.py [--seconds 5] [--rounds 7]

Needs wrk (Debian package ``wrk``). Two services of one worker each get 64 connections in turn, so
that the load of the machine affects both alike. Limits are on, and too high to be reached. Prints
requests/s and processor time per request, medians of the rounds, and the share that the middleware
takes: the median of the rounds' shares.
"""

import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
from load import wrk

from tests import running

HIGH = "900000000/minute"


def create_bare(settings):
    """Return the API without its middleware."""
    from service.app import create_app  # noqa: PLC0415
    from service.middleware import RequestMiddleware  # noqa: PLC0415 - in the worker only

    app = create_app(settings)
    for middlewares in (app.request_middleware, app.response_middleware):
        for one in list(middlewares):
            if isinstance(getattr(one.func, "__self__", None), RequestMiddleware):
                middlewares.remove(one)
    return app


def serve_bare(port):
    """Serve the API without its middleware, like ``cinelog serve``."""
    from service.auth.signing_keys import load_keys  # noqa: PLC0415
    from service.data_dir import prepare_data_dir  # noqa: PLC0415
    from service.processes.supervisor import serve  # noqa: PLC0415
    from service.settings import Settings  # noqa: PLC0415

    settings = Settings.load(port=port, workers=1)
    prepare_data_dir(settings.data_dir)
    load_keys(settings.signing_keys)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), str(ROOT)])
    return serve(settings, app="edge:create_bare")


class Bare(running.Cinelog):
    """The service without its middleware."""

    command = (sys.executable, __file__)


def create_movie(cinelog):
    """Return the URL of a movie, and a token."""
    account = cinelog.account("bench")
    body = {"title": "Aliens", "genre": "Action", "year": 1986}
    movie = account.post("/movies/", json=body).json()
    return f"{cinelog.url}/api/v1/movies/{movie['id']}/", account.pair["access"]


def cpu_s(pid):
    """Return the processor time that a process has used."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main():
    """Load both services in turn and print the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("serve", nargs="?", help="only serve, without the middleware")
    parser.add_argument("--port", type=int)
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    if options.serve:
        return serve_bare(options.port)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        rates = {"api_rate": HIGH, "access_ttl_s": 86_400}
        services = {
            "without": stack.enter_context(Bare(Path(folder) / "bare", **rates)),
            "with": stack.enter_context(running.Cinelog(Path(folder) / "whole", **rates)),
        }
        targets = {name: create_movie(service) for name, service in services.items()}
        workers = {name: service.processes("api_worker")[0] for name, service in services.items()}
        rounds = {name: [] for name in targets}
        wrong = 0
        for url, token in targets.values():
            wrk(url, 2, token)
        for number in range(options.rounds):
            for name in sorted(targets, reverse=bool(number % 2)):
                before_s = cpu_s(workers[name])
                rate, _, errors = wrk(targets[name][0], options.seconds, targets[name][1])
                used_s = cpu_s(workers[name]) - before_s
                rounds[name].append((rate, used_s / (rate * options.seconds)))
                wrong += errors
    for name, results in rounds.items():
        rate, used_s = map(statistics.median, zip(*results, strict=True))
        print(
            f"{name:8} middleware {rate:10,.0f} requests/s {used_s * 1e6:8.1f} us of processor each"
        )
    pairs = list(zip(*rounds.values(), strict=True))
    rates = statistics.median(1 - whole[0] / bare[0] for bare, whole in pairs)
    times = statistics.median(1 - bare[1] / whole[1] for bare, whole in pairs)
    print(f"middleware takes {rates:.1%} of the requests, {times:.1%} by time; errors {wrong}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

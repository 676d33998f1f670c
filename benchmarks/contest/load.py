"""Load by wrk: requests/s, percentiles and errors."""

import json
import re
import subprocess
import tempfile
from typing import NamedTuple

_HEAD = """
local lines, i = {}, math.random(1, 1000)
for line in io.lines("%s") do lines[#lines + 1] = line end
local function next_line() i = i + 1; return lines[i %% #lines + 1] end
wrk.headers["Content-Type"] = "application/json"
local movie = '{"title": "Ant Man %%d", "genre": "Action", "year": 2018}'
local function body() i = i + 1; return string.format(movie, i) end
"""
_SCRIPTS = {
    "read": 'request = function() return wrk.format("GET", next_line()) end',
    "create": 'request = function() return wrk.format("POST", "%s", nil, body()) end',
    "update": 'request = function() return wrk.format("%s", next_line(), nil, body()) end',
    "mixed": """local n = 0
request = function()
  n = n + 1
  if n %% 10 == 0 then return wrk.format("POST", "%s", nil, body()) end
  return wrk.format("GET", next_line())
end""",
}
_SHARE = re.compile(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s|m)\s*$", re.MULTILINE)
_MS = {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}


class Result(NamedTuple):
    """What wrk measured; times in ms."""

    rate: float
    p50: float
    p99: float
    errors: int


def parse(text):
    """Return the result in wrk's output."""
    shares = {share: float(n) * _MS[unit] for share, n, unit in _SHARE.findall(text)}
    errors = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", text)))
    errors += sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    return Result(rate, shares["50"], shares["99"], errors)


def run(api, how, paths, connections, seconds):
    """Load a server; ``how`` is read, create, update or mixed."""
    script = _SCRIPTS[how]
    if how in ("create", "mixed"):
        script %= api.face.movies
    elif how == "update":
        script %= api.face.change
    with (
        tempfile.NamedTemporaryFile("w") as lines,
        tempfile.NamedTemporaryFile("w", suffix=".lua") as lua,
    ):
        lines.write("\n".join(paths or ["/"]))
        lines.flush()
        lua.write(_HEAD % lines.name + script)
        lua.flush()
        args = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20", "--latency"]
        args += ["-H", f"Authorization: Bearer {api.token}", "-s", lua.name, api.base]
        done = subprocess.run(
            args, capture_output=True, text=True, check=True, timeout=seconds + 60
        )
    return parse(done.stdout)


def as_json(result):
    return json.dumps(result._asdict())

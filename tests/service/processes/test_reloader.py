"""``cinelog serve --reload`` starts its children again when a source file changes."""

import os
import shutil
import sys
from pathlib import Path

import httpx

from service.processes.reloader import SourceWatcher
from tests.running import Cinelog, eventually
from tests.service.processes.process_tree import children

ROOT = Path(__file__).parents[3]


def test_only_source_files_count_as_changed(tmp_path):
    folder = tmp_path / "service" / "web"
    folder.mkdir(parents=True)
    watch, now = SourceWatcher(tmp_path), 1e9

    def changed():
        nonlocal now
        now += 1
        return watch.changed(now)

    assert changed() is None
    (folder / "one.py").write_text("1")
    assert changed() == "service/web/one.py"
    assert changed() is None
    os.utime(folder / "one.py", ns=(1, 1))
    assert watch.changed(now) is None  # too soon
    assert changed() == "service/web/one.py"
    (folder / "one.lua").write_text("1")
    assert changed() == "service/web/one.lua"
    (folder / "notes.txt").write_text("1")
    (tmp_path / "other.py").write_text("1")
    assert changed() is None
    (folder / "one.py").unlink()
    assert changed() == "service/web/one.py"


def copy_product(folder):
    """Return a class that serves a copy of the product."""
    for name in ("commands", "projections", "queries", "service"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); from service.cli.main import main; main()"

    class Copy(Cinelog):
        command = (sys.executable, "-P", "-c", code)

    return Copy


def test_changed_sources_are_served(tmp_path):
    """This also works after a syntax error; the root process and its port stay."""
    copy = copy_product(tmp_path / "code")
    source = tmp_path / "code" / "service" / "routes" / "health.py"
    text = source.read_text()
    assert '"status": "ok"' in text
    with copy(tmp_path / "var", "--reload") as service:
        before = set(children(service.process.pid))

        def answer():
            try:
                return httpx.get(f"{service.url}/livez").json()["status"]
            except httpx.TransportError:
                return None

        assert answer() == "ok"
        source.write_text(text.replace('"status": "ok"', '"status": "changed"'))
        eventually(lambda: answer() == "changed")
        source.write_text("not Python")
        eventually(lambda: "again when a source file changes" in service.log_path.read_text(), 30)
        source.write_text(text)
        eventually(lambda: answer() == "ok", 30)
        assert service.process.poll() is None
        assert len(before & set(children(service.process.pid))) <= 1  # the embedded Redis
    assert "service/routes/health.py changed" in service.log_path.read_text()

"""The types in the comments of the page's modules are right (``tsc --checkJs``).

Types of what the API answers come from its description, those of vendored modules from their
packages.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import orjson
import pytest

from service.app import create_app
from service.openapi.document import document_of
from service.settings import Settings

CLIENTS = Path(__file__).parents[2] / "clients"
BIN = CLIENTS / "node_modules" / ".bin"
PAGE = Path(__file__).parents[3] / "service" / "web_page"
# `make test` installs the compiler by npm, which a machine may lack; the page itself needs neither.
pytestmark = [
    pytest.mark.skipif(not (BIN / "tsc").exists(), reason="`make test` needs npm for it"),
    pytest.mark.xdist_group("types"),
]
PACKAGES = {
    "preact": 'export * from "preact";',
    "hooks": 'export * from "preact/hooks";',
    "signals": 'export * from "@preact/signals";',
    "htm": 'export { default } from "htm";',
    "diff/diff/word": 'export * from "diff";',
    "uplot": 'export { default } from "uplot";',
}


# Each line after a comment must be an error, and no other one.
PROBE = """
import { get } from "./api/http.js";
const { data } = await get("movies/", { page_size: 1 });
data.results[0].title;
// @ts-expect-error no field of a movie
data.results[0].titel;
// @ts-expect-error no parameter of the list
get("movies/", { page_sise: 1 });
// @ts-expect-error no path of the API
get("movie/");
// @ts-expect-error no field of the history
get(`movies/${data.results[0].id}/history/`).then(({ data }) => data.results[0].cause);
"""


def run(folder, *command):
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the page with the declarations that its modules refer to."""
    folder = tmp_path_factory.mktemp("types")
    shutil.copytree(PAGE, folder / "web_page")
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    for name, exports in PACKAGES.items():
        (folder / "web_page" / "vendor" / f"{name}.d.ts").write_text(exports)
    (folder / "web_page" / "probe.js").write_text(PROBE)
    app = create_app(Settings(data_dir=folder / "var"), name="typed")
    (folder / "openapi.json").write_bytes(orjson.dumps(document_of(app, Settings())))
    made = run(folder, BIN / "openapi-typescript", "openapi.json", "-o", "web_page/api/schema.d.ts")
    assert made.returncode == 0, made.stdout + made.stderr
    config = {"extends": str(CLIENTS / "tsconfig.page.json"), "include": ["web_page/**/*.js"]}
    (folder / "tsconfig.json").write_text(json.dumps(config | {"exclude": ["web_page/vendor"]}))
    return folder


def test_types_of_the_page(folder):
    """A field, parameter or path that the description does not have is an error."""
    done = run(folder, BIN / "tsc")
    assert done.returncode == 0, done.stdout


def test_packages_are_of_the_vendored_versions():
    versions = json.loads((CLIENTS / "package.json").read_text())["devDependencies"]
    vendored = re.findall(
        r"\| ([@\w/-]+) (\d[\d.]+) \|", (PAGE / "vendor" / "README.md").read_text()
    )
    typed = {name: version for name, version in vendored if name in versions}
    assert set(typed) == {"preact", "@preact/signals", "htm", "diff", "uplot"}
    assert {name: versions[name] for name in typed} == typed

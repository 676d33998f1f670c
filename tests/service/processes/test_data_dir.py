"""The data directory: created for its owner only, and refused if it is unusable."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from commands.errors import ConfigurationError
from service.data_dir import FORMAT, prepare_data_dir


def refused(path):
    with pytest.raises(ConfigurationError) as caught:
        prepare_data_dir(path)
    assert caught.value.variable == "CINELOG_DATA_DIR"
    return caught.value.problem


def test_a_missing_directory_is_created_for_its_owner_only(tmp_path):
    path = tmp_path / "new" / "var"
    prepare_data_dir(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert json.loads((path / "format").read_text())["format"] == FORMAT


@pytest.mark.slow
def test_concurrent_preparations_succeed(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        for path in [tmp_path / str(number) for number in range(20)]:
            list(pool.map(prepare_data_dir, [path] * 16))
            assert {found.name for found in path.iterdir()} == {"format", "reserve"}


def test_a_directory_of_a_newer_version_is_refused(tmp_path):
    (tmp_path / "format").write_text('{"format": 2, "cinelog": "9.0"}')

    assert refused(tmp_path) == (
        f"{tmp_path} was made by a newer version of Cinelog (format 2, this one knows 1); "
        "use that version or another directory"
    )


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "1"}', '{"format": true}'])
def test_an_invalid_format_file_is_refused(tmp_path, content):
    (tmp_path / "format").write_text(content)

    assert "restore it from a backup" in refused(tmp_path)


def test_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()

    assert refused(tmp_path / "file") == f"{tmp_path}/file is not a directory; name one"
    assert "is not a directory" in refused(tmp_path / "file" / "var")


def test_an_impossible_path_is_refused(tmp_path):
    assert "choose another directory" in refused(tmp_path / ("long" * 100))


def test_an_unwritable_format_file_is_refused(tmp_path):
    """This also holds for the superuser."""
    (tmp_path / "format").mkdir()

    assert f"cannot write in {tmp_path} (Is a directory)" in refused(tmp_path)


# Modes of files do not bind the superuser, so there the refusal cannot be produced; the test above
# stands for this one in containers that run as root.
@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_directory_is_refused(tmp_path):
    tmp_path.chmod(0o500)

    assert "cannot write in" in refused(tmp_path)

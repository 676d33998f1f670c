"""Encrypted backups: the service has the public key only, a restore needs the private one."""

import subprocess

import pytest

from commands.errors import ConfigurationError
from service.backup.encryption import parse_recipients, read_identities
from service.backup.place import Directory
from service.backup.segments import Reader
from service.backup.verify import verify
from service.errors import DamagedBackupError
from tests.service.backup.places import events_of, grow, make, restored

pyrage = pytest.importorskip("pyrage", reason="make setup installs it")


@pytest.fixture
def key_file(tmp_path):
    """Return a function that makes a key pair: the file, as of age-keygen, and the public key."""

    def new(name="key.txt"):
        identity = pyrage.x25519.Identity.generate()
        text = f"# created: 2026-01-02\n# public key: {identity.to_public()}\n{identity}\n"
        (tmp_path / name).write_text(text)
        return tmp_path / name, str(identity.to_public())

    return new


@pytest.fixture
def place(tmp_path):
    return Directory(tmp_path / "backups")


def test_restore_needs_the_private_key(sqlite_store, place, tmp_path, key_file):
    ours, public = key_file()
    other, _ = key_file("other.txt")
    grow(sqlite_store)
    make(sqlite_store, place, recipients=parse_recipients(public))
    grow(sqlite_store)
    make(sqlite_store, place, recipients=parse_recipients(public))
    with pytest.raises(ConfigurationError, match="the backup is encrypted"):
        restored(tmp_path, place)
    with pytest.raises(ConfigurationError, match="another key"):
        restored(tmp_path, place, identities=read_identities(other))
    again = restored(tmp_path, place, identities=read_identities(ours))
    assert events_of(again) == events_of(sqlite_store)
    again.close()


def test_chain_may_be_encrypted_to_several_keys_from_some_backup_on(
    sqlite_store, place, tmp_path, key_file
):
    (_, one), (other, two) = key_file(), key_file("other.txt")
    grow(sqlite_store)
    make(sqlite_store, place)
    grow(sqlite_store)
    make(sqlite_store, place, recipients=parse_recipients(f"{one}, {two}"))
    again = restored(tmp_path, place, identities=read_identities(other))
    assert events_of(again) == events_of(sqlite_store)
    again.close()


def test_ssh_keys_work_too(sqlite_store, place, tmp_path):
    path = tmp_path / "id"
    make_key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    try:
        subprocess.run(make_key, check=True)
    except FileNotFoundError:
        pytest.skip("ssh-keygen is not installed")
    recipients = parse_recipients(path.with_suffix(".pub").read_text())
    grow(sqlite_store)
    make(sqlite_store, place, recipients=recipients)
    restored(tmp_path, place, identities=read_identities(path)).close()


def test_nothing_of_the_log_can_be_read_without_the_key(sqlite_store, place, tmp_path, key_file):
    ours, public = key_file()
    grow(sqlite_store)
    make(sqlite_store, place, recipients=parse_recipients(public))
    names = {name.endswith(".manifest"): name for name in place.names()}
    assert b"".join(place.read(names[False])).startswith(b"age-encryption.org/v1\n")
    assert b"secret" not in b"".join(place.read(names[True]))
    assert verify(Reader(place, [], tmp_path)).decoded is False
    found = verify(Reader(place, read_identities(ours), tmp_path))
    assert (found.decoded, found.damage) == (True, [])


def test_damage_is_found_without_the_key_and_with_it(sqlite_store, place, tmp_path, key_file):
    ours, public = key_file()
    grow(sqlite_store)
    make(sqlite_store, place, recipients=parse_recipients(public))
    (name,) = [name for name in place.names() if name.endswith(".age")]
    path = tmp_path / "backups" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for identities in ([], read_identities(ours)):
        found = verify(Reader(place, identities, tmp_path))
        assert [one.name for one in found.damage] == [name]
    with pytest.raises(DamagedBackupError):
        restored(tmp_path, place, identities=read_identities(ours))


@pytest.mark.parametrize("text", ["age1nonsense", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1X"])
def test_wrong_public_keys_are_refused(text):
    with pytest.raises(ConfigurationError, match="CINELOG_BACKUP_RECIPIENT") as error:
        parse_recipients(text)
    assert text not in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "nonsense", "AGE-SECRET-KEY-1X", "-----BEGIN X-----", "\udcff"]
)
def test_wrong_private_keys_are_refused(tmp_path, text):
    path = tmp_path / "key.txt"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigurationError, match=r"--identity: .* no private key"):
        read_identities(path)
    with pytest.raises(ConfigurationError, match="No such file"):
        read_identities(tmp_path / "missing")

"""Encryption of backups to public keys, in the format of age (https://age-encryption.org/v1).

The service knows public keys only: it cannot read what it has written. ``pyrage`` does the work,
an extra of the installation.
"""

from pathlib import Path
from typing import Any, BinaryIO

from commands.errors import ConfigurationError
from service.errors import DamagedFileError

VARIABLE = "CINELOG_BACKUP_RECIPIENT"
_OPTION = "--identity"


def parse_recipients(text: str) -> list[Any]:
    """Return the public keys in a text (``age1…`` or ``ssh-…``), separated by commas.

    Raises ConfigurationError.
    """
    keys = [one.strip() for one in text.split(",") if one.strip()]
    if not keys:
        return []
    pyrage = _pyrage(VARIABLE)
    kinds = {True: pyrage.ssh.Recipient, False: pyrage.x25519.Recipient}
    try:
        return [kinds[key.startswith("ssh-")].from_str(key) for key in keys]
    except pyrage.RecipientError as error:
        problem = f"name public keys, age1… or ssh-…, separated by commas ({error})"
        raise ConfigurationError(VARIABLE, problem) from None


def read_identities(path: Path) -> list[Any]:
    """Return the private keys in a file of ``age-keygen``, or the SSH key. Raises the same."""
    pyrage = _pyrage(_OPTION)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(_OPTION, f"{path}: {error.strerror}") from None
    try:
        if text.startswith(b"-----BEGIN"):
            return [pyrage.ssh.Identity.from_buffer(text)]
        lines = [line.strip() for line in text.decode().splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
        found = [pyrage.x25519.Identity.from_str(key) for key in keys]
    except (pyrage.IdentityError, UnicodeDecodeError):
        found = []  # the error of the library may quote the key
    if not found:
        problem = f"{path} is no private key; name a file of age-keygen or an SSH key"
        raise ConfigurationError(_OPTION, problem)
    return found


def encrypt(source: BinaryIO, target: BinaryIO, recipients: list[Any]) -> None:
    """Write the rest of ``source``, readable with any of the matching private keys."""
    _pyrage(VARIABLE).encrypt_io(source, target, recipients)


def decrypt(source: BinaryIO, target: BinaryIO, identities: list[Any]) -> None:
    """Write what was encrypted. Raises ConfigurationError for a wrong key, DamagedFileError."""
    pyrage = _pyrage(_OPTION)
    try:
        pyrage.decrypt_io(source, target, identities)
    except pyrage.DecryptError as error:
        if "matching" in str(error):
            problem = "the backup was encrypted to another key; name the file of the matching one"
            raise ConfigurationError(_OPTION, problem) from None
        raise DamagedFileError(None, f"it cannot be decrypted ({error})") from None
    except OSError as error:
        raise DamagedFileError(None, f"it cannot be decrypted ({error})") from None


def _pyrage(variable: str) -> Any:
    try:
        import pyrage  # noqa: PLC0415 - an extra
    except ImportError:
        problem = "encryption needs pyrage; install cinelog[backup]"
        raise ConfigurationError(variable, problem) from None
    return pyrage

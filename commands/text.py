"""How text is compared: in one way for names, filters and orderings."""

import re
import unicodedata

# A character class of invisible characters: controls, spaces, those that Unicode calls default
# ignorable (joiners, fillers, variation selectors), and the braille pattern without a dot. NUL has
# its own rules.
INVISIBLE = (
    r"\x01-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f"
    r"\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
)
_VISIBLE = re.compile(
    rf"[^{INVISIBLE}\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_DOTLESS = "\u0131"


def fold(text: str) -> str:
    """Return ``text`` in the form that lists compare, without regard to case.

    The dotted and the dotless i of Turkish are one letter: its case depends on the language,
    and the language of a title is not known.
    """
    if text.isascii():
        return text.lower()
    folded = caseless(text).replace("i\u0307", "i").replace(_DOTLESS, "i")
    return unicodedata.normalize("NFC", folded)


def caseless(text: str) -> str:
    """Return ``text`` for canonical caseless matching (Unicode Standard 3.13, D145).

    Stored for ever: the ids of the claims on usernames and e-mail addresses depend on it.
    """
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFC", text).casefold()
    return unicodedata.normalize("NFC", folded)


def fold_name(name: str) -> str:
    """Return a username in the form that is compared: trimmed, NFKC, without regard to case.

    Registration, log-in, rate limits and ``--as`` all use it.
    """
    return caseless(unicodedata.normalize("NFKC", name).strip())


def is_visible(text: str) -> bool:
    """Return whether ``text`` has a visible character."""
    return _VISIBLE.search(text) is not None

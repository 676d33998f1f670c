"""How text is compared and looked at: one way, for names, filters and orderings alike."""

import re
import unicodedata

# What prints nothing, for a character class: controls, spaces, what Unicode calls default ignorable
# (joiners, fillers, variation selectors), and a braille pattern without a dot. NUL has rules of
# its own.
UNSEEN = (
    r"\x01-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f"
    r"\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
)
_SEEN = re.compile(rf"[^{UNSEEN}\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]")


_DOTLESS = "\u0131"


def fold(text: str) -> str:
    """Return ``text`` for lists to compare without regard to case, Unicode included.

    The dotted and the dotless i of Turkish are one letter: its case depends on the language, and a
    title does not tell its language.
    """
    if text.isascii():
        return text.lower()
    folded = caseless(text).replace("i\u0307", "i").replace(_DOTLESS, "i")
    return unicodedata.normalize("NFC", folded)


def caseless(text: str) -> str:
    """Return ``text`` as canonical caseless matching compares it (Unicode Standard 3.13, D145).

    Stored for ever: the ids of the claims on usernames and e-mail addresses hang on it.
    """
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFC", text).casefold()
    return unicodedata.normalize("NFC", folded)


def fold_name(name: str) -> str:
    """Return a username for comparing, however it was written.

    Without white space around it, compatibility forms as what they look like, without regard to
    case: every way in (registering, signing in, limits, ``--as``) comes through here.
    """
    return caseless(unicodedata.normalize("NFKC", name).strip())


def is_visible(text: str) -> bool:
    """Return whether anything of ``text`` prints."""
    return _SEEN.search(text) is not None

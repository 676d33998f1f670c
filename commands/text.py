"""How text is compared: one way, for names, filters and orderings alike."""

import unicodedata


def fold(text: str) -> str:
    """Return ``text`` for comparing without regard to case, Unicode included.

    NFC, case folding, NFC again (Unicode Standard 3.13, D145: canonical caseless matching).
    """
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFC", text).casefold()
    return unicodedata.normalize("NFC", folded)


def fold_name(name: str) -> str:
    """Return a username for comparing: compatibility forms count as what they look like."""
    return fold(unicodedata.normalize("NFKC", name))

"""What text is found by: its words, folded; of scripts that put no blanks between words, every two characters.

A text and a query pass the same functions, so that what is looked for and what is there meet in one form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

MAX_TERM = 40  # characters: longer words are found by their beginning
_ACCENTS = re.compile("[\u0300-\u036f]")
#: Scripts without blanks between words: Thai, Lao, Myanmar, Khmer, kana, Han, Hangul's neighbours in the CJK blocks.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_RUNS = re.compile(f"(?P<unspaced>[{_UNSPACED}]+)|(?P<word>[^\\W{_UNSPACED}]+)")
WORD = re.compile(r"\w+")
_MENTION = re.compile(r"<(?:[@#!][^>|]*\|?([^>]*)|(?:https?|mailto):([^>|]*)\|?([^>]*))>")
_LINK = re.compile(r"<https?://|\bhttps?://")


def fold(text: str) -> str:
    """Text in the form in which it is compared: one case, compatible characters alike, Latin letters bare."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold())))


def plain(text: str) -> str:
    """A message's text as people read it: names of links and channels in place of their markup, folded."""
    shown = _MENTION.sub(lambda found: " ".join(part for part in found.groups() if part), text)
    return fold(shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def terms(text: str) -> set[str]:
    """The terms of a text that `plain` has passed."""
    return set(_terms(text))


def _terms(text: str) -> Iterator[str]:
    for found in _RUNS.finditer(text):
        run = found.group()
        if found.lastgroup == "word":
            yield run[:MAX_TERM]
        elif len(run) == 1:
            yield run
        else:
            yield from (run[at : at + 2] for at in range(len(run) - 1))


def pairs(word: str) -> list[str]:
    """The terms of a word to look for, if it is of a script without blanks; else nothing."""
    if not re.fullmatch(f"[{_UNSPACED}]+", word):
        return []
    return [word] if len(word) == 1 else [word[at : at + 2] for at in range(len(word) - 1)]


def has_link(text: str) -> bool:
    """Whether a message's text holds a link."""
    return _LINK.search(text) is not None

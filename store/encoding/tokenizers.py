"""Words and pieces of a text, lazily: a long text costs no more than the pieces that are kept."""

import re
import unicodedata
from collections.abc import Iterator

from overnight.store.encoding.lookup import Numbers, numbers_of
from overnight.store.input_encodings import RESERVED_NUMBERS, UNKNOWN, TextEncoding

CONTINUES = "##"
# A longer word is unknown as a whole: looking for its pieces takes time by the square.
LONGEST_WORD = 100
_WORD = re.compile(r"\S+")
# Scripts that are written without spaces: each character is a word.
_IDEOGRAPHS = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


def numbers(text: str, encoding: TextEncoding) -> list[int]:
    """The numbers of a text's pieces, at most `length` of them and not padded."""
    if encoding.tokenizer == "bytes":
        # Each character has a byte at least, so the rest of a long text is not needed.
        head = text[: encoding.length]
        raw = (head.lower() if encoding.lower_case else head).encode(errors="replace")
        return [byte + RESERVED_NUMBERS for byte in raw[: encoding.length]]
    index = numbers_of(encoding.pieces)
    collected: list[int] = []
    for word in words(text, encoding):
        if encoding.tokenizer == "wordpiece":
            collected += pieces(word, index)
        else:
            number = index.get(word)
            collected.append(UNKNOWN if number is None else number + RESERVED_NUMBERS)
        if len(collected) >= encoding.length:
            break
    return collected[: encoding.length]


def words(text: str, encoding: TextEncoding) -> Iterator[str]:
    """The words of a text, as the tokenizer looks them up; for `wordpiece` punctuation too."""
    # More of a run without white space than makes `length` words, however long, is not read.
    longest_run = LONGEST_WORD * encoding.length
    for match in _WORD.finditer(text):
        if encoding.tokenizer == "wordpiece":
            run = match.group()[:longest_run]
            yield from _basic_words(run, lower_case=encoding.lower_case)
        else:
            yield match.group().lower() if encoding.lower_case else match.group()


def pieces(word: str, index: Numbers) -> list[int]:
    """The numbers of the longest pieces of a word from the left; unknown if something is left."""
    if len(word) > LONGEST_WORD:
        return [UNKNOWN]
    collected: list[int] = []
    start = 0
    while start < len(word):
        prefix = CONTINUES if start else ""
        # No longer piece can be in the index; words of strangers would cost the square of theirs.
        last = min(len(word), start + index.longest - len(prefix))
        for end in range(last, start, -1):
            number = index.get(prefix + word[start:end])
            if number is not None:
                break
        else:
            return [UNKNOWN]
        collected.append(number + RESERVED_NUMBERS)
        start = end
    return collected


def _basic_words(run: str, *, lower_case: bool) -> Iterator[str]:
    """Words, and punctuation and ideographs one by one; control characters are dropped."""
    if lower_case:
        run = run.lower() if run.isascii() else _decomposed(run.lower())
    word: list[str] = []
    for character in run:
        category = unicodedata.category(character)
        # Of unassigned characters another version of Python may know more, so they stay.
        if category in {"Cc", "Cf"} or character == "\ufffd" or (lower_case and category == "Mn"):
            continue
        if category[0] == "P" or _stands_alone(character):
            if word:
                yield "".join(word)
                word = []
            yield character
        else:
            word.append(character)
    if word:
        yield "".join(word)


def _decomposed(run: str) -> str:
    """Each character in its parts; a whole run of marks would be sorted, in time by the square."""
    return "".join(unicodedata.normalize("NFD", character) for character in run)


def _stands_alone(character: str) -> bool:
    """Whether it is a symbol of ASCII, such as $ and +, or an ideograph."""
    code = ord(character)
    if code < 0x80:
        return not character.isalnum()
    return any(first <= code <= last for first, last in _IDEOGRAPHS)

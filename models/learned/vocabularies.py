"""Vocabularies of categories and of words, learned by counting."""

from collections import Counter
from dataclasses import dataclass

from overnight.models.learner import Array, present, redeclared
from overnight.store.encoding.tokenizers import words
from overnight.store.errors import ConfigurationError
from overnight.store.input_encodings import Missing, TextEncoding
from overnight.store.schema import TensorSpec


@dataclass(frozen=True)
class Vocabulary:
    """The categories of a column: those that occur most often, in alphabetical order.

    Attributes:
        most: how many are kept; of equally frequent ones the first in the alphabet.
        otherwise: the entry that stands for all others, and for missing values without another
            replacement; empty for none, so that others are refused.
        least_rows: a category in fewer rows is one of the others.
    """

    most: int = 500
    otherwise: str = "other"
    least_rows: int = 1

    def __call__(self, published: Array, spec: TensorSpec) -> TensorSpec:
        """The input with its vocabulary; entries that the declaration has already stay first."""
        if not spec.datatype.startswith(("INT", "UINT")) or spec.date:
            raise ConfigurationError(
                f"{spec.name}: a vocabulary numbers its entries, so the input must be declared as "
                f"INT32, not {spec.datatype}"
            )
        values = list(present(published))
        strange = next((value for value in values if not isinstance(value, str)), None)
        if strange is not None:
            raise ConfigurationError(
                f"{spec.name}: a vocabulary is learned from names, and the rows have {strange!r}; "
                "make it a text in the model's `examples`"
            )
        frequent = _most_frequent(Counter(values), self.most, self.least_rows)
        replaced = spec.missing.value if spec.missing is not None else None
        fixed = [self.otherwise, replaced, spec.default]
        named = [value for value in fixed if isinstance(value, str) and value]
        entries = tuple(dict.fromkeys((*spec.vocabulary, *named, *sorted(frequent))))
        if not entries:
            raise ValueError(f"{spec.name}: no row has a category to learn")
        missing = spec.missing
        if missing is not None and missing.value is None:
            missing = Missing(value=self.otherwise or None, flag=missing.flag)
        return redeclared(
            spec,
            vocabulary=entries,
            otherwise=self.otherwise,
            missing=missing,
            # Derived from the vocabulary.
            minimum=0,
            maximum=len(entries) - 1,
        )


@dataclass(frozen=True)
class Words:
    """The words of a text, split at white space: those that occur most often, `size` at most.

    A word that occurs less than `least` times is unknown.
    """

    size: int = 10_000
    least: int = 1

    def __call__(self, published: Array, spec: TensorSpec) -> TensorSpec:
        """The input with its words, the most frequent first."""
        text = text_encoding(spec, "whitespace")
        counts = count_words(published, text)
        # By frequency: a network with fewer rows in its embedding keeps the most frequent ones.
        return with_pieces(spec, text, _most_frequent(counts, self.size, self.least))


def text_encoding(spec: TensorSpec, tokenizer: str) -> TextEncoding:
    """The declared encoding of a text, without pieces.

    Raises:
        ConfigurationError: it is no text, or of another tokenizer.
    """
    if spec.text is None or spec.text.tokenizer != tokenizer:
        raise ConfigurationError(
            f"{spec.name}: pieces of {tokenizer!r} are learned for an input with "
            f"text=TextEncoding(tokenizer={tokenizer!r}, …), not for "
            f"{spec.text.tokenizer if spec.text else spec.datatype}"
        )
    return spec.text


def count_words(published: Array, text: TextEncoding) -> Counter[str]:
    """How often each word occurs in texts [n, …], as the tokenizer splits them."""
    counts: Counter[str] = Counter()
    for value in present(published):
        counts.update(words(value, text))
    return counts


def with_pieces(spec: TensorSpec, text: TextEncoding, pieces: list[str]) -> TensorSpec:
    """The input with the learned pieces; a missing text is empty unless declared otherwise.

    Raises:
        ValueError: there are none.
    """
    if not pieces:
        raise ValueError(f"{spec.name}: no row has a text to learn from")
    missing = spec.missing
    if missing is not None and missing.value is None:
        missing = Missing(value="", flag=missing.flag)
    encoding = TextEncoding.model_validate(dict(text) | {"pieces": tuple(pieces)})
    return redeclared(spec, text=encoding, missing=missing)


def _most_frequent(counts: Counter[str], most: int, least: int) -> list[str]:
    """Entries by falling frequency, and in alphabetical order where it is equal."""
    ordered = sorted((-count, entry) for entry, count in counts.items() if count >= least)
    return [entry for _, entry in ordered[:most]]

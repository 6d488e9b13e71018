"""Pieces of words, learned by merging the most frequent pairs of pieces.

Byte-pair encoding (Sennrich, Haddow and Birch 2016) over words, as trainers of WordPiece do it: a
piece that continues a word begins with `##`.
"""

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from overnight.models.learned.vocabularies import count_words, text_encoding, with_pieces
from overnight.models.learner import Array
from overnight.store.encoding.tokenizers import CONTINUES, LONGEST_WORD
from overnight.store.schema import TensorSpec

# Rarer ones hardly move a merge, and time grows with them.
MOST_WORDS = 50_000

_Pair = tuple[str, str]


@dataclass(frozen=True)
class WordPieces:
    """The pieces of a text for the tokenizer `wordpiece`, `size` of them at most.

    Attributes:
        alphabet: how many different first and later characters are kept; words with others are
            unknown.
        least: a pair that occurs less often is not merged.
    """

    size: int = 8000
    alphabet: int = 1000
    least: int = 2

    def __call__(self, published: Array, spec: TensorSpec) -> TensorSpec:
        """The input with its pieces: characters first, then merges in the order they were made."""
        text = text_encoding(spec, "wordpiece")
        counts = count_words(published, text)
        ordered = sorted((-count, word) for word, count in counts.items())
        frequent = {
            word: -count for count, word in ordered[:MOST_WORDS] if len(word) <= LONGEST_WORD
        }
        most_characters = min(self.alphabet, self.size)
        pieces = _Merges(frequent, most_characters).run(self.size, self.least)
        return with_pieces(spec, text, pieces)


class _Merges:
    """Words as lists of pieces, and the count of every pair of neighbours in them."""

    def __init__(self, words: Mapping[str, int], most_characters: int) -> None:
        split = {word: [word[0], *(CONTINUES + each for each in word[1:])] for word in words}
        characters: Counter[str] = Counter()
        for word, pieces in split.items():
            for piece in pieces:
                characters[piece] += words[word]
        ordered = sorted((-count, piece) for piece, count in characters.items())
        self._alphabet = sorted(piece for _, piece in ordered[:most_characters])
        known = set(self._alphabet)
        kept = [word for word, pieces in split.items() if known.issuperset(pieces)]
        self._words = [split[word] for word in kept]
        self._counts = [words[word] for word in kept]
        self._pairs: Counter[_Pair] = Counter()
        self._places: defaultdict[_Pair, set[int]] = defaultdict(set)
        for place in range(len(self._words)):
            self._add(place, 1)

    def run(self, size: int, least: int) -> list[str]:
        """The alphabet and the merges of the most frequent pairs, up to `size` pieces in all."""
        pieces = dict.fromkeys(self._alphabet)
        # Equal counts are merged in the order of their names, so that the result is always one.
        queue = [(-count, pair) for pair, count in self._pairs.items()]
        heapq.heapify(queue)
        while queue and len(pieces) < size:
            negative, pair = heapq.heappop(queue)
            count = self._pairs.get(pair, 0)
            if count != -negative:
                # Outdated by an earlier merge; a newer entry is in the queue.
                continue
            if count < least:
                break
            merged = pair[0] + pair[1].removeprefix(CONTINUES)
            pieces[merged] = None
            for changed in sorted(self._merge(pair, merged)):
                if self._pairs.get(changed, 0) > 0:
                    heapq.heappush(queue, (-self._pairs[changed], changed))
        return list(pieces)

    def _merge(self, pair: _Pair, merged: str) -> set[_Pair]:
        """Merge a pair wherever it occurs; returns the pairs whose counts changed."""
        changed: set[_Pair] = set()
        for place in sorted(self._places[pair]):
            changed |= self._add(place, -1)
            word, joined, start = self._words[place], [], 0
            while start < len(word):
                if tuple(word[start : start + 2]) == pair:
                    joined.append(merged)
                    start += 2
                else:
                    joined.append(word[start])
                    start += 1
            self._words[place] = joined
            changed |= self._add(place, 1)
        return changed - {pair}

    def _add(self, place: int, sign: int) -> set[_Pair]:
        """Count the pairs of a word in, or out again; returns them."""
        word, count = self._words[place], self._counts[place]
        pairs = list(itertools.pairwise(word))
        for pair in pairs:
            self._pairs[pair] += sign * count
            if sign > 0:
                self._places[pair].add(place)
            else:
                self._places[pair].discard(place)
        return set(pairs)

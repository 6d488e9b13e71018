"""The number of each entry of a vocabulary or tokenizer, indexed once and not at every request."""

_KEPT = 64
# By identity: hashing a tuple of thousands of entries takes longer than encoding a short text. The
# tuple is kept beside its index, so that no other one can get its identity meanwhile.
_indices: dict[int, tuple[tuple[str, ...], "Numbers"]] = {}


class Numbers(dict[str, int]):
    """The place of each entry, counted from 0, and how many characters the `longest` one has."""

    longest = 0


def numbers_of(entries: tuple[str, ...]) -> Numbers:
    """The place of each entry, counted from 0."""
    known = _indices.get(id(entries))
    if known is not None and known[0] is entries:
        return known[1]
    if len(_indices) >= _KEPT:
        _indices.clear()
    index = Numbers((entry, number) for number, entry in enumerate(entries))
    index.longest = max(map(len, entries), default=0)
    _indices[id(entries)] = (entries, index)
    return index

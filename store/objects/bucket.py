"""The storage interface on which everything else is built."""

from typing import Protocol


class Bucket(Protocol):
    """A bucket in which nothing is ever overwritten.

    Keys obey `overnight.store.objects.keys.check`; bodies are whole and small enough for memory.
    All operations may raise `StoreUnavailable` (try again) or `StoreDenied` (fix credentials).
    """

    def create(self, key: str, body: bytes) -> None:
        """Write a new object, atomically and at most once.

        Creating an object that exists with equal bytes succeeds, so that a write whose response
        was lost can be retried.

        Raises:
            AlreadyExists: another body is there; exactly one of several creators wins.
        """

    def read(self, key: str, limit: int) -> bytes:
        """The body of an object, which may have at most `limit` bytes: see `size_limits`.

        Raises:
            NotFound: no such object.
            TooLarge: it is longer; no more than the limit was held in memory.
        """

    def keys_below(self, prefix: str) -> list[str]:
        """Every key below `prefix/`, at any depth, sorted.

        Raises (as the other listings do):
            TooLarge: there are more than any bucket has to hold, or the listing does not end.
        """

    def names_below(self, prefix: str) -> list[str]:
        """The names directly below `prefix/`, objects and folders alike, sorted."""

    def sizes_below(self, prefix: str) -> dict[str, int]:
        """Every key below `prefix/` with its size in bytes, sorted; "" is the whole bucket.

        Unlike the other operations it includes keys outside the grammar, as they are in the store.
        """

    def remove(self, key: str) -> None:
        """Remove an object of an arrival or a probe. A missing key is no error.

        Raises:
            BadKey: the key is not one that may be removed.
        """

    def discard(self, key: str) -> None:
        """Delete a file of a version that has a tombstone. A missing key is no error.

        Raises:
            BadKey: the key is not one that may be discarded: see `keys.check_discardable`.
        """

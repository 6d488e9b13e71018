"""The narrow storage interface that everything of ours is built on."""

from typing import Protocol


class Bucket(Protocol):
    """A bucket in which nothing is ever overwritten.

    Keys obey `overnight.store.objects.keys.check`; bodies are whole and small enough for memory.
    All operations may raise `StoreUnavailable` (try again) or `StoreDenied` (fix credentials).
    """

    def create(self, key: str, body: bytes) -> None:
        """Write a new object, atomically and at most once.

        A retry of one's own write whose response was lost succeeds: equal bytes count as ours.

        Raises:
            AlreadyExists: another body is there; exactly one of several creators wins.
        """

    def read(self, key: str) -> bytes:
        """The body of an object.

        Raises:
            NotFound: no such object.
        """

    def keys_below(self, prefix: str) -> list[str]:
        """Every key below `prefix/`, at any depth, sorted."""

    def names_below(self, prefix: str) -> list[str]:
        """The names directly below `prefix/`, objects and folders alike, sorted."""

    def sizes_below(self, prefix: str) -> dict[str, int]:
        """Every key below `prefix/` with its size in bytes, sorted; "" is the whole bucket.

        Unlike all else it also tells of keys that are none of ours, as they stand in the store.
        """

    def remove(self, key: str) -> None:
        """Remove an arrival or a probe; anything else is refused. A missing key is no error.

        Raises:
            BadKey: the key is not one that may be removed.
        """

    def discard(self, key: str) -> None:
        """Let go of a file of a version that retention has collected. A missing key is no error.

        Raises:
            BadKey: the key is not one that may be discarded: see `keys.check_discardable`.
        """

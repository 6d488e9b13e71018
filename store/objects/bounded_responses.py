"""Bounds on what a store may send: no answer is read without end, in bytes or in time.

botocore reads errors and listings whole, and the body of an object for as long as some of it
comes. A store that is broken, or that somebody else answers for, could fill the memory or hold a
thread for ever.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from overnight.store.errors import TooLarge

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A page of a listing has 1,000 keys of at most 1,024 bytes; everything else but bodies is shorter.
DOCUMENT_BYTES = 8_000_000
_BLOCK_BYTES = 65_536
# A body may rest as long as the client's read time-out; on the whole it must be faster than this.
_LEAST_BYTES_PER_SECOND = 10_000
_GRACE_SECONDS = 60.0


def install(client: "S3Client") -> None:
    """Bound all responses of a client."""
    # The client's own session, which has its proxies, certificates and time-outs. There is no
    # public way to it, and none to the bytes of a response before they are read.
    session: Any = client._endpoint.http_session  # type: ignore[attr-defined]  # noqa: SLF001

    def send(request: Any, **_: Any) -> Any:
        # Else the session reads the whole response here.
        request.stream_output = True
        response = session.send(request)
        response.raw = BoundedResponse(response.raw)
        return response

    client.meta.events.register("before-send.s3", send)


class BoundedResponse:
    """The body of a response, as botocore reads it: in blocks, or as a whole document."""

    def __init__(self, raw: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._raw, self._clock = raw, clock
        self._start, self._received = clock(), 0

    def read(self, most: int) -> bytes:
        """The next `most` bytes, fewer only at the end.

        Raises:
            ReadTimeoutError: they come too slowly.
        """
        blocks: list[bytes] = []
        left = most
        # One piece at a time, as it comes: a longer read would wait for all of its bytes.
        while left and (block := self._raw.read1(min(left, _BLOCK_BYTES))):
            blocks.append(block)
            left -= len(block)
            self._check_rate(len(block))
        return b"".join(blocks)

    def stream(self) -> Iterator[bytes]:
        """A whole document, in blocks.

        Raises:
            TooLarge: it is longer than any that a store has to send.
            HTTPClientError: the connection was cut, or is too slow.
        """
        from botocore.exceptions import ReadTimeoutError, ResponseStreamingError
        from urllib3 import exceptions

        try:
            while block := self.read(_BLOCK_BYTES):
                if self._received > DOCUMENT_BYTES:
                    self.close()
                    raise TooLarge(
                        "a listing or an error of the store",
                        expected=f"at most {DOCUMENT_BYTES:,} bytes",
                        found="more",
                        remedy="see whether OVERNIGHT_S3_ENDPOINT is the right store",
                    )
                yield block
        except exceptions.ReadTimeoutError as error:
            raise ReadTimeoutError(endpoint_url=str(error.url), error=error) from None
        except exceptions.ProtocolError as error:
            raise ResponseStreamingError(error=error) from None

    def close(self) -> None:
        self._raw.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def _check_rate(self, received: int) -> None:
        from botocore.exceptions import ReadTimeoutError

        self._received += received
        seconds = self._clock() - self._start - _GRACE_SECONDS
        if seconds * _LEAST_BYTES_PER_SECOND > self._received:
            self.close()
            raise ReadTimeoutError(endpoint_url="the store, whose answer comes too slowly,")

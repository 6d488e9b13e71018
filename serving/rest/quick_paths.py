"""The paths whose requests take so little time that the event loop answers them itself."""

from overnight.serving.inference.codecs.content_types import Environ
from overnight.serving.rest.invoked_model import INVOCATIONS

# Longer answers would delay all that the loop does for others: bodies, and health checks.
_MOST_SECONDS = 0.001
# Weight of the newest request in the mean.
_WEIGHT = 0.1
_PATHS = 1_000
_PROTOCOLS = ("/v1/", "/v2/", INVOCATIONS)


class QuickPaths:
    """CPU seconds of the requests of each path, as an exponentially weighted mean.

    CPU time of the thread and not time on the clock: under load, waiting would make every path
    look slow, and the hand-over to threads would add to the load. Requests with a content encoding
    are left out, because a small one may be unpacked to a large one.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def has(self, environ: Environ) -> bool:
        """Whether requests of this path are known to take little."""
        seconds = self._seconds.get(environ["PATH_INFO"])
        return (
            seconds is not None
            and seconds <= _MOST_SECONDS
            and "HTTP_CONTENT_ENCODING" not in environ
        )

    def note(self, environ: Environ, seconds: float) -> None:
        """Count one request that was answered; requests in several threads may count for one."""
        path: str = environ["PATH_INFO"]
        before = self._seconds.get(path)
        if before is not None:
            self._seconds[path] = before + _WEIGHT * (seconds - before)
        elif path.startswith(_PROTOCOLS) and len(self._seconds) < _PATHS:
            self._seconds[path] = seconds

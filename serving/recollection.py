"""What a host can tell of its own past: the models' histories, and the traffic of all workers."""

from pathlib import Path

from serving.historian import TICK_SECONDS, Historian
from serving.history import History, Past
from serving.ledger import Ledger
from serving.presence import counted
from serving.traffic import Observer, Traffic, TrafficFile
from store.bucket import Bucket


class Recollection:
    """Read by every worker; kept up to date by the one that leads."""

    def __init__(self, folder: Path, bucket: Bucket, *, workers: Path) -> None:
        self._bucket = bucket
        self._histories: dict[str, History] = {}
        self._historians: dict[str, Historian] = {}
        self._traffic = TrafficFile(folder / "traffic.json")
        self._observer = Observer(self._traffic, lambda: counted(workers))

    def expect(self, model: str, folder: Path, ledger: Ledger) -> None:
        """One more model, remembered in its folder."""
        history = self._histories[model] = History(folder)
        self._historians[model] = Historian(history, ledger, model=model, bucket=self._bucket)

    def recall(self) -> float:
        """One tick of what the leader gathers from the store; returns seconds to rest."""
        rests = [historian.look() for historian in list(self._historians.values())]
        return min(rests, default=TICK_SECONDS)

    def observe(self) -> float:
        """One tick of the leader's eye on the workers' counters; returns seconds to rest."""
        return self._observer.look()

    def past(self, model: str) -> Past:
        """What is remembered of a model's records and versions."""
        return self._histories[model].past()

    def report(self, model: str, version: str) -> bytes | None:
        """The report of a version as HTML, if it is remembered."""
        return self._histories[model].report(version)

    def traffic(self) -> Traffic:
        """What all workers answered in the last minutes."""
        return self._traffic.read()

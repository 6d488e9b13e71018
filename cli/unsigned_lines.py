"""Which champions nobody who is trusted here has signed, as an earlier release left them."""

from collections.abc import Iterator

from store import keys
from store.aliases import AliasLog
from store.bucket import Bucket
from store.errors import OvernightError, StoreDenied, StoreUnavailable, UntrustedVersion
from store.trust import Trust
from store.versions import trusted_manifest


def gather(bucket: Bucket, trust: Trust) -> Iterator[str]:
    """One line for each champion that serving cannot load, with what to do.

    Raises:
        StoreUnavailable, StoreDenied: nothing is known.
    """
    for model in filter(keys.is_model, bucket.names_below("models")):
        try:
            current = AliasLog(bucket, model).current()
            if current is None:
                continue
            trusted_manifest(bucket, model, current.version, trust)
        except UntrustedVersion as error:
            yield f"{error}. `overnight keys sign {model}` lists all of {model} that are like it"
        except (StoreUnavailable, StoreDenied):
            raise
        except OvernightError as error:
            yield f"the champion of {model} cannot be loaded: {error}"

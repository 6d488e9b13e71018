"""Deletion of everything that is stored of a client, from both tables of a model."""

from dataclasses import dataclass

from overnight.store.predictions.tables import LabelTable, PredictionTable


@dataclass(frozen=True)
class ClientRows:
    """How many rows of answers, and labels, are of a client."""

    answers: int
    labels: int


def count_client(predictions: PredictionTable, labels: LabelTable, client: str) -> ClientRows:
    """What `delete_client` would delete."""
    ids = predictions.ids_of(client)
    return ClientRows(predictions.rows_of(client), labels.rows_of(client, ids))


def delete_client(predictions: PredictionTable, labels: LabelTable, client: str) -> ClientRows:
    """Delete a client's answers, its labels, and all labels of its answers.

    The rows are gone from the store when this returns, with the files that held them. Rows that
    are not collected yet are in neither table. A deletion that died is complete after the next.

    Args:
        client: its key, of which rows are stored under the key itself or under its digest.

    Raises:
        StoreUnavailable, StoreDenied, CorruptTable
    """
    # First the labels: which of them are of the client's requests is in the answers.
    deleted = labels.delete_client(client, predictions.ids_of(client))
    return ClientRows(predictions.delete_client(client), deleted)

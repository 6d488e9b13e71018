"""Malformed requests never cause a 5xx, and errors have messages."""

import json
import random

from tests.support.serving.malformed_requests import PATHS, spoil_bytes, spoil_values, valid

REQUESTS = 1_500


def test_malformed_requests_never_cause_a_5xx(client):
    chance = random.Random(20261122)
    statuses = set()
    for _ in range(REQUESTS):
        path = chance.choice(PATHS)
        spoiled = valid(path)
        for _ in range(chance.randint(1, 3)):
            spoiled = spoil_values(chance, spoiled)
        body = json.dumps(spoiled).encode()
        if chance.random() < 0.4:
            body = spoil_bytes(chance, body)

        response = client.post(path, data=body, content_type="application/json")

        statuses.add(response.status_code)
        assert response.status_code in {200, 400, 413}, (path, body[:500])
        if response.status_code != 200:
            assert response.json["error"], (path, body[:500])
    assert statuses >= {200, 400}

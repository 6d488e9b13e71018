"""The benchmark beside peers: what it adds up, compares and tells, without any peer."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from benchmarks.serving.peers import lanes, load, processes, report, servers
from benchmarks.serving.peers.measure import Cold, Memory, Round
from benchmarks.serving.peers.picture import draw
from benchmarks.serving.peers.processes import Process
from tests.support.serving.clients import application_of
from tests.support.serving.grpc_calls import answering
from tests.support.waiting import until

IMAGE = np.arange(784, dtype=np.uint8).reshape(28, 28)


def process(
    pid: int, *, parent: int, session: int = 1, state: str = "S", ticks: int = 0
) -> Process:
    return Process(pid=pid, parent=parent, session=session, state=state, ticks=ticks)


def round_of(cpu_us: float, *, lane: str = "JSON") -> Round:
    tally = load.Tally(cpu_us, 1_000, 2, 9, 5_000, {})
    return Round(Cold(1.0, 1.5, 0.7), Memory(250, 200, 100), {lane: tally}, {})


def results(*rows: report.Row, bare: float = 100) -> report.Results:
    return report.Results({"cpu": "some"}, 5, {"litert": bare}, rows, {"kserve": "did not start"})


def rows(name: str, *cpu_us: float) -> report.Row:
    (server,) = servers.chosen([name])
    (row,) = report.rows_of(server, [round_of(one) for one in cpu_us])
    return row


def test_cpu_time_counts_children_that_ended_and_survives_strange_names():
    # user 10, system 20, and 300 and 4000 of children it has waited for
    stat = "42 (a) b (c) S 7 42 9 0 -1 4194560 1 2 3 4 10 20 300 4000 20 0 1 0 100 0 0"

    found = Process.parsed(stat)

    assert found == Process(pid=42, parent=7, session=9, state="S", ticks=4_330)


def test_a_family_is_the_leader_its_descendants_and_its_session_but_no_one_else():
    leader, child, grandchild = (
        process(10, parent=2, session=10),
        process(11, parent=10, session=10),
        process(12, parent=11, session=12),
    )
    orphan = process(13, parent=1, session=10)
    stranger, ended = process(14, parent=2), process(15, parent=10, session=10, state="Z")

    found = processes.family(10, [stranger, grandchild, orphan, ended, child, leader])

    assert {one.pid for one in found} == {10, 11, 12, 13}


@pytest.mark.servers
def test_stopping_a_server_ends_the_children_it_left_behind(tmp_path: Path):
    script = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "time.sleep(60)\n"
    )
    server = processes.start(
        [sys.executable, "-c", script], folder=tmp_path, environment={}, log=tmp_path / "log"
    )

    def family() -> list[Process]:
        return processes.family(server.pid, processes.running())

    until(lambda: len(family()) == 2, what="a server with a child")
    processes.stop(server)

    assert family() == []


@pytest.mark.parametrize(
    ("received", "ended", "complete"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", False, False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", False, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", False, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", False, True),
        (b"HTTP/1.0 200 OK\r\n\r\nabc", False, False),
        (b"HTTP/1.0 200 OK\r\n\r\nabc", True, True),
        (b"HTTP/1.1 200 OK\r\n", True, False),
    ],
)
def test_an_answer_ends_where_its_headers_say(received: bytes, ended: bool, complete: bool):
    assert load.is_complete(received, ended=ended) is complete


def test_a_tally_divides_what_was_spent_by_what_was_answered():
    tally = load.summarise([0.001] * 99 + [0.5], Counter({"503": 1}), seconds=2, spent=0.05)

    assert tally.cpu_us == pytest.approx(500)
    assert tally.per_second == 50
    assert tally.p50_ms == pytest.approx(1)
    assert tally.p99_ms > 1
    assert tally.failures == {"503": 1}


@pytest.mark.parametrize(
    "answer",
    [
        {"outputs": [{"name": "probabilities", "data": [0.01] * 7 + [0.9, 0.01, 0.02]}]},
        {"predictions": [[0, 0, 0, 0, 0, 0, 0, 1, 0, 0]]},
        [[0.0] * 7 + [1.0, 0.0, 0.0]],
    ],
)
def test_a_digit_is_found_however_a_server_wraps_it(answer: object):
    assert lanes.digit_of(json.dumps(answer).encode(), None) == 7


def test_a_digit_is_found_in_a_binary_answer():
    raw = np.eye(10, dtype="<f4")[3].tobytes()

    assert lanes.digit_of(b"{}" + raw, 2) == 3


def test_a_digit_is_found_in_raw_and_typed_contents_of_a_message():
    raw = service_pb2.ModelInferResponse(raw_output_contents=[np.eye(10, dtype="<f4")[4].tobytes()])
    typed = service_pb2.ModelInferResponse()
    typed.outputs.add().contents.fp32_contents.extend(np.eye(10)[5].tolist())

    assert lanes.digit_of_message(raw.SerializeToString()) == 4
    assert lanes.digit_of_message(typed.SerializeToString()) == 5
    with pytest.raises(ValueError, match="ten probabilities"):
        lanes.digit_of_message(b"")


@pytest.mark.parametrize(
    ("method", "failed"), [(lanes.MODEL_INFER, set()), ("/nobody/Call", {"UNIMPLEMENTED"})]
)
def test_a_load_over_grpc_counts_what_was_answered_and_what_failed(method: str, failed: set[str]):
    message = lanes.v2_message(IMAGE).body.decode("latin-1")
    with answering(application_of()) as port:
        order = load.Order(port, os.getpid(), (message,), 2, 0.0, 0.1, grpc_method=method)
        tally = load.run(order)

    assert set(tally.failures) == failed
    assert sum(tally.failures.values()) == (tally.answers if failed else 0)
    assert tally.answers >= 2


@pytest.mark.parametrize("body", [b"{}", b'{"data":[1,2,3]}'])
def test_an_answer_without_ten_probabilities_is_refused(body: bytes):
    with pytest.raises(ValueError, match="ten probabilities"):
        lanes.digit_of(body, None)


def test_a_binary_request_says_where_its_json_ends():
    request = lanes.Lane("binary", "/x", lanes.v2_binary).request(IMAGE, port=1)

    head, _, body = request.partition(b"\r\n\r\n")
    length = int(head.split(b"Inference-Header-Content-Length: ")[1].split(b"\r\n")[0])
    assert json.loads(body[:length])["inputs"][0]["parameters"] == {"binary_data_size": 784}
    assert body[length:] == IMAGE.tobytes()


def test_ratios_are_taken_within_a_round_because_rounds_differ_in_noise():
    ours, peer = rows("overnight", 100, 1_000, 200), rows("litserve", 300, 3_000, 800)

    # medians alone would say 4
    assert report.ratio(peer, ours) == 3


def test_the_table_is_ordered_by_cpu_and_who_failed_is_listed_with_the_reason():
    reported = report.render(results(rows("litserve", 900), rows("overnight", 300)))

    lines = reported.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["overnight", "LitServe"]
    assert [line.split("|")[5].strip() for line in lines[2:4]] == ["1.00", "3.00"]
    assert reported.endswith("Not measured, or not in every round:\nkserve: did not start")


@pytest.mark.parametrize(("peer", "passed"), [(899, False), (900, True)])
def test_goals_are_held_against_the_best_peer(peer: float, passed: bool):
    run = results(rows("overnight", 300), rows("litserve", peer), rows("bentoml", 5_000))

    first = report.goals(run)[0]

    assert "LitServe" in first.claim
    assert first.passed is passed


def test_what_peers_cost_over_grpc_is_not_held_against_our_json():
    (kserve,) = servers.chosen(["kserve"])
    (over_grpc,) = report.rows_of(kserve, [round_of(100, lane="gRPC")])

    first = report.goals(results(rows("overnight", 300), rows("litserve", 900), over_grpc))[0]

    assert "LitServe" in first.claim


def test_a_run_without_ours_has_a_table_but_no_ratios_and_no_goals():
    run = results(rows("litserve", 900))

    assert report.goals(run) == []
    assert "| – " in report.table(run).replace("     ", " ").replace("  ", " ")


def test_results_are_read_as_they_were_written(tmp_path: Path):
    run = results(rows("overnight", 300, 310), rows("litserve", 900, 930))
    path = tmp_path / "results.json"

    path.write_text(run.encoded())

    assert report.Results.read(path) == run


def test_the_picture_follows_the_theme_and_is_the_same_for_the_same_results(tmp_path: Path):
    run = results(rows("overnight", 300), rows("litserve", 900))

    draw(run, tmp_path / "one.svg")
    draw(run, tmp_path / "two.svg")

    text = (tmp_path / "one.svg").read_text()
    assert "prefers-color-scheme: dark" in text
    assert "currentColor" in text
    assert text == (tmp_path / "two.svg").read_text()


@pytest.mark.servers
def test_an_unknown_server_is_answered_with_those_there_are():
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving.peers", "--only", "overnigth"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    assert "no server overnigth; there are overnight, litserve" in ended.stderr

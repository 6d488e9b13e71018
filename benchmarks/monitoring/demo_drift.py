"""Claim: drift is noticed within a day, named, and learned, without anybody's doing.

    python -m benchmarks.monitoring.demo_drift [--picture docs/images/drift-demo.svg]

A stack of its own trains on 1,000 digits of Census employees. Two days of their digits come as
requests, 300 a day, and their labels in the evening; from the third day on students write. Nothing
else is done to the stack: its monitor runs once a day, its automation starts what follows, and its
host follows the champion. Ends with a table, and with an error where one of these is missed:

- days without drift raise no alarm and start nothing;
- drift is noticed after its first day, by its 300 labels, and dated to its beginning;
- the retraining that the alarm starts has it as its reason, and is promoted by its paired gate;
- students' digits are answered right more often, which is asked of both versions for all of them.

Digits and labels go over HTTP. A simulated day is what lies between two runs of the monitor, and
takes a minute or two: nothing has another clock. Drift over days, which needs days that have ended,
is therefore not part of it.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.monitoring.demo.picture import DayOfDemo, draw
from benchmarks.monitoring.demo.project_copy import Size, Writers, writers_of
from benchmarks.monitoring.demo.spool import waiting
from benchmarks.monitoring.demo.stack import DemoStack, demo_stack
from benchmarks.monitoring.demo.traffic import MODEL, Digits, send, send_labels, served_version
from overnight.models.definition import Places
from overnight.store.registry.monitoring import DetectorState, MonitorLog, MonitorRecord
from overnight.tasks.outcomes import of_state

ROOT = Path(__file__).parents[2]
A_DAY = 300
CENSUS_DAYS, STUDENT_DAYS = 2, 3
_WAIT_SECONDS, _POLL_SECONDS = 120, 0.3


@dataclass
class Story:
    """Prints what happens, with the seconds since the beginning."""

    began: float

    def print(self, text: str) -> None:
        elapsed = int(time.monotonic() - self.began)
        print(f"{elapsed // 60:3d}:{elapsed % 60:02d}  {text}", flush=True)


@dataclass
class Demo:
    """A running demonstration: the stack, and the days that it had so far."""

    stack: DemoStack
    story: Story
    past: list[DayOfDemo] = field(default_factory=list)

    def day(self, writers: str, digits: Digits) -> MonitorRecord:
        """Send a day's digits and their labels, and run the monitor after them."""
        champion = self.followed()
        answers = send(self.stack.serving_port, digits)
        accepted = send_labels(self.stack.serving_port, answers.requests, digits.labels)
        expect(accepted == len(digits), f"{accepted} of {len(digits)} labels were accepted")
        expect(set(answers.versions) == {champion}, f"{champion} answers all requests")
        self.await_shipped(len(digits))
        state = self.stack.monitor()
        outcome = of_state(state).outcome
        record = MonitorLog(self.stack.bucket, MODEL).last()
        expect(record is not None, f"the monitor wrote a record; it ended as {state}")
        assert record is not None
        right = len(digits) - answers.wrong(digits.labels)
        self.past.append(
            DayOfDemo(len(self.past) + 1, writers, champion, right, len(digits), outcome)
        )
        self.story.print(
            f"day {len(self.past)}  {writers:8s} {right} of {len(digits)} right "
            f"({right / len(digits):.1%})   monitor: {outcome}"
        )
        return record

    def followed(self) -> str:
        """The champion, once the host answers with it."""
        champion = self.stack.champion()
        self.wait(lambda: served_version(self.stack.serving_port) == champion, "the host follows")
        return champion

    def await_shipped(self, count: int) -> None:
        """Wait until the host has shipped as many answers, and labels."""
        self.wait(
            lambda: waiting(self.stack.bucket, MODEL) == (count, count),
            "answers and labels are shipped",
        )

    def wait(self, is_true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not is_true():
            expect(time.monotonic() < deadline, what)
            time.sleep(_POLL_SECONDS)

    def retrained(self, record: MonitorRecord) -> str:
        """Wait for the run that the alarm started; returns the version that it promoted."""
        run = self.stack.started_by_an_alarm()
        self.story.print(f"an automation has started {run['name']}: {run['parameters']['reason']}")
        expect(run["parameters"]["reason"] == record.consequence.reason, "the alarm is its reason")
        ended = of_state(self.stack.ended(str(run["id"]))["state"])
        expect(ended.outcome == "Promoted", f"it ends Promoted: {ended}")
        version = self.followed()
        manifest = self.stack.manifest(version)
        expect(manifest.run.reason == record.consequence.reason, "its version has that reason")
        gate = next(f for f in manifest.findings if f.gate == "MaximumRegression")
        self.story.print(f"{version} learned {manifest.data.rows:,} rows; {gate.message}")
        return version


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, default=ROOT / ".venv" / "demo-drift")
    parser.add_argument("--again", action="store_true", help="with the champion of a run before")
    parser.add_argument("--picture", type=Path, help="where to draw the days, as SVG or PNG")
    options = parser.parse_args()
    picture = options.picture.absolute() if options.picture else None
    named = os.environ.get("OVERNIGHT_SOURCE_FOLDERS__DIGITS")
    story, size = Story(time.monotonic()), Size()
    story.print(f"a stack starts in {options.home}, and learns {size.census_rows:,} Census digits")
    digits = Path(named) if named else None
    with demo_stack(options.home.absolute(), size, digits, again=options.again) as stack:
        places = Places(folder=Path(named) if named else None, cache=stack.settings.home / "digits")
        run_days(stack, story, writers_of(places, size), picture)


def run_days(stack: DemoStack, story: Story, writers: Writers, picture: Path | None) -> None:
    demo = Demo(stack, story)
    first = demo.followed()
    story.print(f"{first} serves: {accuracy(stack, first)}")
    for number in range(CENSUS_DAYS):
        record = demo.day("Census", writers.census.part(number * A_DAY, A_DAY))
        expect(not record.alarms, f"no alarm without drift: {record.alarms}")
        expect(record.consequence.action == "nothing", "nothing follows without drift")
    observations = quality_of(record).observations
    began = datetime.now(UTC)
    record = demo.day("students", writers.students.part(0, A_DAY))
    expect(bool(record.alarms), "the drift is noticed on its first day")
    for alarm in record.alarms:
        story.print(f"alarm: {alarm.kind}: {alarm.message}, since {alarm.since:%H:%M:%S}")
        expect(alarm.since >= began, f"it began with the students, at {began:%H:%M:%S}")
    labels = noticed_after(record) - observations
    story.print(f"noticed after {labels} of the day's {A_DAY} labels; {record.consequence.action}")
    expect(record.consequence.action == "retrain", "a retraining follows")
    second = demo.retrained(record)
    for number in range(1, STUDENT_DAYS):
        demo.day("students", writers.students.part(number * A_DAY, A_DAY))
    rest = writers.students.part(A_DAY, len(writers.students))
    story.print(f"both versions answer the {len(rest):,} students' digits that came later or never")
    wrong = {
        v: send(stack.serving_port, rest, version=v).wrong(rest.labels) for v in (first, second)
    }
    summarize(demo, record, labels, {version: 1 - n / len(rest) for version, n in wrong.items()})
    expect(wrong[second] < wrong[first], "live accuracy went up")
    if picture is not None:
        draw(demo.past, record.alarms[0].kind, picture)


def accuracy(stack: DemoStack, version: str) -> str:
    measured = stack.manifest(version).measured("accuracy")
    expect(measured is not None, "the champion's accuracy was measured")
    assert measured is not None
    return f"{measured.value:.2%} right of {measured.n:,} holdout digits of Census employees"


def noticed_after(record: MonitorRecord) -> int:
    """After how many labels of this champion quality raised the alarm."""
    alarm = quality_of(record).details.get("alarm")
    expect(alarm is not None, "quality raised the alarm")
    return int(alarm["observation"])


def quality_of(record: MonitorRecord) -> DetectorState:
    return next(state for state in record.detectors if state.name == "quality")


def summarize(
    demo: Demo, record: MonitorRecord, labels: int, accuracies: Mapping[str, float]
) -> None:
    print("\nday    writers   answered by                       right    monitor")
    for day in demo.past:
        print(
            f"day {day.number}  {day.writers:8s}  {day.version}  "
            f"{day.right / day.answers:6.1%}   {day.state}"
        )
    print(f"\nalarm       after {labels} labelled students: {record.consequence.reason}")
    for version, share in accuracies.items():
        print(f"{version}   {share:.2%} right on the students' digits after the first day's")


def expect(is_true: object, what: str) -> None:
    """Raise the error of a claim that does not hold."""
    if not is_true:
        raise SystemExit(f"missed: {what}")


if __name__ == "__main__":
    main()

"""What a mapping and its function count, minute by minute, from the records that arrive and what goes wrong."""

import math
import random
from dataclasses import dataclass, field

from cloudwatch import DAY, Metrics

BATCH_SIZE = 500
# Records a minute that one poller lands: batches of 500 in half a second or so, beside polling and cold starts.
CAPACITY = 20_000
OWN_COUNTS = ("stale", "regression", "quarantined", "quarantineFailed", "tombstoneFailed")
NEVER = (0, 0)


def at(day, hour, minute=0):
    """The minute of a time of day; day 0 is a Monday."""
    return day * DAY + hour * 60 + minute


def is_office_hour(minute):
    return minute // DAY % 7 < 5 and 8 * 60 <= minute % DAY < 18 * 60


def quiet(rng, minute):
    """A dozen records a working day."""
    return int(is_office_hour(minute) and (rng.random() < 0.02 or minute % DAY == 9 * 60))


def busy(rng, minute):
    """Hundreds a minute by day, now and then thousands at once, and a nightly job."""
    if minute // DAY % 7 < 5 and minute % DAY == 2 * 60:
        return 30_000
    if not is_office_hour(minute):
        return 0
    burst = rng.randrange(1_000, 40_000) if rng.random() < 0.01 else 0
    return max(0, round(rng.gauss(200, 80))) + burst


def nothing(_rng, _minute):
    return 0


@dataclass(frozen=True)
class Course:
    """What happens besides the traffic; a time is the first minute, and that after the last."""

    # The mapping is switched off.
    off: tuple = NEVER
    # No record arrives.
    holiday: tuple = NEVER
    # The pollers cannot reach the brokers.
    unreachable: tuple = NEVER
    # DynamoDB does not answer: a batch fails when its time is nearly over, and is tried again after a while.
    stuck: tuple = NEVER
    # DynamoDB refuses: a batch fails at once, and is tried again.
    refused: tuple = NEVER
    # Lambda does not run the function.
    throttled: tuple = NEVER
    # Records a minute that are landed.
    capacity: int = CAPACITY
    # By name of a count, a share of the records in a time.
    shares: dict = field(default_factory=dict)
    # By name of a count, how many records in a minute.
    records: dict = field(default_factory=dict)
    # By namespace and name of a metric that others count, its values by minute.
    others: dict = field(default_factory=dict)

    def is_in(self, name, minute):
        start, end = getattr(self, name)
        return start <= minute < end

    def counts(self, minute, landed):
        """The function's own counts of a minute."""
        counts = {name: self.records.get(name, {}).get(minute, 0) for name in OWN_COUNTS}
        for name, (share, start, end) in self.shares.items():
            if start <= minute < end:
                counts[name] += math.ceil(landed * share)
        return counts


def simulate(seed, n_minutes, arrivals, course, is_provisioned=False, is_new=False):
    """The metrics of so many minutes."""
    rng = random.Random(seed)
    metrics = Metrics(n_minutes)
    backlog = 0
    for minute in range(n_minutes):
        arrived = 0 if course.is_in("holiday", minute) else arrivals(rng, minute)
        backlog += arrived + sum(values.get(minute, 0) for values in course.records.values())
        if course.is_in("off", minute):
            continue
        lambdas = {}
        if course.is_in("unreachable", minute):
            lambdas = {"PollingErrorCount": rng.randrange(1, 7)}
        elif backlog and course.is_in("throttled", minute):
            lambdas = {"OffsetLag": backlog, "Throttles": rng.randrange(1, 60)}
        elif backlog and (course.is_in("stuck", minute) or course.is_in("refused", minute)):
            is_stuck = course.is_in("stuck", minute)
            n_attempts = int(rng.random() < 0.7) if is_stuck else rng.randrange(1, 20)
            lambdas = {"OffsetLag": backlog}
            if n_attempts:
                duration = 58_000 if is_stuck else rng.randrange(5, 300)
                lambdas |= {"Errors": n_attempts, "Throttles": 0, "Duration": duration}
                received = n_attempts * min(backlog, BATCH_SIZE)
                own = {"received": received} | course.counts(minute, received)
        else:
            landed = min(backlog, round(course.capacity * rng.uniform(0.5, 1)))
            backlog -= landed
            # Some of what has just come still waits for its window when the lag is asked for.
            lambdas = {"OffsetLag": backlog + round(landed * rng.random())}
            if landed:
                # A cold start, or a slow request, now and then.
                duration = rng.randrange(20, 400) + (rng.randrange(2_000) if rng.random() < 0.02 else 0)
                lambdas |= {"Errors": 0, "Throttles": 0, "Duration": duration}
                own = {"received": landed} | course.counts(minute, landed)
        if is_provisioned:
            lambdas.setdefault("PollingErrorCount", 0)
        for name, value in lambdas.items():
            metrics.add("AWS/Lambda", name, minute, value)
        if "Duration" in lambdas:
            for name, value in own.items():
                metrics.add("compare-connector", name, minute, value)
    if not is_new:
        metrics.add("compare-connector", "received", 0, 1)
    for (namespace, name), values in course.others.items():
        for minute, value in values.items():
            metrics.add(namespace, name, minute, value)
    return metrics

"""Evaluates a template's alarms as CloudWatch does, as far as its documentation says how.

Time is in minutes, the finest that metrics of standard resolution have. What is relied on:

- An alarm is evaluated every minute, on periods that end now; one that looks back longer than a day every full hour.
- It retrieves more data points than its `EvaluationPeriods`: in the documentation's only example, two more. Missing ones
  are treated as the alarm says only as far as those that exist do not suffice.
- Metric math takes a missing value beside one that exists for 0, drops what is divided by 0, and `DIFF` looks at the value
  before, however long ago.
- A new alarm's state is INSUFFICIENT_DATA, and stays so in its warm-up unless data points fill its window. An update
  leaves the state as it is. Actions follow a change of the state.
"""

import ast
import functools
import operator
from collections import defaultdict
from dataclasses import dataclass, field

DAY = 24 * 60

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.Lt: operator.lt,
}
COMPARISONS = {"GreaterThanThreshold": operator.gt, "LessThanOrEqualToThreshold": operator.le}
STATISTICS = {"Sum": sum, "Maximum": max}


class Metrics:
    """What was counted in so many minutes, by namespace and name; None where nothing was."""

    def __init__(self, n_minutes):
        self.n_minutes = n_minutes
        self.values = defaultdict(lambda: [None] * n_minutes)
        # The same for each alarm that asks.
        self.points = functools.cache(self.points)

    def add(self, namespace, name, minute, value):
        self.values[namespace, name][minute] = value

    def points(self, namespace, name, statistic, period):
        """The statistic of the period that ends with each minute, the first of them before all."""
        values, of = self.values[namespace, name], STATISTICS[statistic]
        periods = (values[max(0, end - period) : end] for end in range(self.n_minutes + 1))
        existing = ([it for it in found if it is not None] for found in periods)
        return [of(found) if found else None for found in existing]


@dataclass
class Alarm:
    """A metric alarm and its life."""

    properties: dict
    metrics: Metrics
    # How many data points more than `EvaluationPeriods` are retrieved.
    n_more: int
    # When it was created; one that was there before has no warm-up.
    created: int | None
    state: str = "OK"
    # When the state changed, and to what.
    changes: list = field(default_factory=list)

    def __post_init__(self):
        if self.created is not None:
            self.state = "INSUFFICIENT_DATA"
        self.update(self.properties)

    def update(self, properties):
        self.properties = properties
        self.n_evaluated, self.n_to_alarm = int(properties["EvaluationPeriods"]), int(properties["DatapointsToAlarm"])
        self.is_missing_breaching = {"breaching": True, "notBreaching": False}[properties["TreatMissingData"]]
        self.warm_up = int(properties.get("WarmUpConfiguration", {}).get("WarmUpPeriodDurationInMinutes", 0))
        text, metrics = "it", {}
        if "MetricName" in properties:
            metrics["it"] = properties, properties["Statistic"], properties["Period"]
        for query in properties.get("Metrics", []):
            if "Expression" in query:
                text = query["Expression"]
            else:
                stat = query["MetricStat"]
                metrics[query["Id"]] = stat["Metric"], stat["Stat"], stat["Period"]
        (self.period,) = {int(seconds) // 60 for _, _, seconds in metrics.values()}
        series = {
            metric_id: self.metrics.points(metric["Namespace"], metric["MetricName"], statistic, self.period)
            for metric_id, (metric, statistic, _) in metrics.items()
        }
        expression = ast.parse(text, mode="eval").body
        is_beyond, threshold = COMPARISONS[properties["ComparisonOperator"]], float(properties["Threshold"])
        # Whether the period that ends with each minute is breaching; None where it is missing.
        self.is_breaching = [None] * (self.metrics.n_minutes + 1)
        for first in range(self.period):
            of_these = {metric_id: points[first :: self.period] for metric_id, points in series.items()}
            points = math(expression, of_these)
            self.is_breaching[first :: self.period] = [None if it is None else is_beyond(it, threshold) for it in points]

    def evaluate(self, now):
        if self.n_evaluated * self.period > DAY and now % 60:
            return
        before_all = now - self.period * (self.n_evaluated + self.n_more)
        retrieved = self.is_breaching[now : before_all if before_all >= 0 else None : -self.period]
        existing = [it for it in retrieved if it is not None][: self.n_evaluated]
        n_missing = self.n_evaluated - len(existing)
        if self.created is not None and n_missing and now < self.created + self.warm_up:
            return
        n_breaching = sum(existing) + n_missing * self.is_missing_breaching
        state = "ALARM" if n_breaching >= self.n_to_alarm else "OK"
        if state != self.state:
            self.state = state
            self.changes.append((now, state))


def math(expression, series):
    """An expression's value by period; its syntax is Python's as well."""
    match expression:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            return series[name]
        case ast.BinOp(left, sign, right) | ast.Compare(left, [sign], [right]):
            return binary(OPERATORS[type(sign)], math(left, series), math(right, series))
        case ast.Call(ast.Name("DIFF"), [of]):
            return difference(math(of, series))
        case ast.Call(ast.Name("IF"), [condition, then, otherwise]):
            condition = math(condition, series)
            parts = [spread(math(part, series), len(condition)) for part in (then, otherwise)]
            return [choice(*values) for values in zip(condition, *parts, strict=True)]
    raise NotImplementedError(ast.unparse(expression))


def binary(of, left, right):
    match left, right:
        case [*_], [*_]:
            # One that is missing counts as 0 beside the other.
            pairs = zip(left, right, strict=True)
            pairs = [pair if pair == (None, None) else (pair[0] or 0, pair[1] or 0) for pair in pairs]
        case [*_], _:
            pairs = [(it, None if it is None else right) for it in left]
        case _, [*_]:
            pairs = [(None if it is None else left, it) for it in right]
        case _:
            return of(left, right)
    return [None if pair[0] is None or (of is operator.truediv and pair[1] == 0) else of(*pair) for pair in pairs]


def choice(condition, then, otherwise):
    if condition is None:
        return None
    return (then or 0) if condition else otherwise


def difference(values):
    before, differences = None, []
    for value in values:
        differences.append(None if value is None or before is None else value - before)
        before = before if value is None else value
    return differences


def spread(value, length):
    return value if isinstance(value, list) else [value] * length

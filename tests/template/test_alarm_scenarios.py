"""Each alarm, as the template has it, tried on simulated weeks: it is raised when it must be, and at no other time.

The simulated mapping is Seatool's, which has all alarms that a mapping can have.
"""

import ast
import functools
import json
from dataclasses import dataclass, field

import pytest
from cloudwatch import DAY, Alarm, Metrics, math
from stack import BATCHES, SINKS, Stack
from traffic import Course, at, busy, nothing, quiet, simulate

HOUR = 60


@dataclass(frozen=True)
class Raised:
    """That an alarm is raised: how many minutes after its cause at most, how often, and whether it is over at the end."""

    cause: int
    within: int
    times: int = 1
    is_over: bool = True


@dataclass(frozen=True)
class Scenario:
    n_days: int
    traffic: object
    raised: dict
    course: Course = Course()
    parameters: dict = field(default_factory=dict)
    # When the stack is created; if never, it was there before.
    created: int | None = None
    # When it is updated to further parameters.
    updated: int | None = None
    update: dict = field(default_factory=dict)


PROVISIONED = {"PollerMode": "provisioned"}
EVERY_DAY = {at(day, 11): 1 for day in range(5)}
EVERY_TEN_MINUTES = {minute: 1 for minute in range(at(0, 9), at(0, 17), 10)}

SCENARIOS = {
    # Ordinary weeks.
    "a quiet week": Scenario(7, quiet, {}),
    "a busy week": Scenario(7, busy, {}),
    "a busy week in provisioned mode": Scenario(7, busy, {}, parameters=PROVISIONED),
    "a weekend of three days": Scenario(9, quiet, {}, Course(holiday=(at(7, 0), at(8, 0)))),
    # It cannot be told from a mapping that is broken: who knows such holidays raises SilentHours.
    "a weekend of four days": Scenario(
        9,
        quiet,
        {"silent": Raised(at(2, 18), 99 * HOUR)},
        Course(holiday=(at(3, 0), at(7, 0))),
    ),
    "a weekend of four days that was thought of": Scenario(
        9, quiet, {}, Course(holiday=(at(3, 0), at(7, 0))), parameters={"SilentHours": "120"}
    ),
    "an error now and then": Scenario(
        7, busy, {}, Course(refused=(at(1, 10), at(1, 10, 3)), throttled=(at(2, 10), at(2, 10, 4)))
    ),
    # Beginnings.
    "a new stage": Scenario(7, busy, {}, Course(holiday=(0, at(0, 13))), created=at(0, 9)),
    "a new stage with a quiet topic": Scenario(7, quiet, {}, Course(holiday=(0, at(2, 8))), created=at(0, 17)),
    "a new stage before a weekend": Scenario(
        8, quiet, {"silent": Raised(at(4, 18), 49 * HOUR)}, Course(holiday=(0, at(7, 0))), created=at(4, 18)
    ),
    "a new stage that cannot poll": Scenario(
        7, busy, {"silent": Raised(at(0, 9), 49 * HOUR, is_over=False)}, Course(unreachable=(0, at(7, 0))), created=at(0, 9)
    ),
    "a new stage whose mapping is switched on later": Scenario(
        9,
        busy,
        {},
        Course(off=(0, at(7, 9)), holiday=(0, at(7, 9, 30))),
        parameters={"SeatoolEnabled": "false"},
        created=at(0, 9),
        updated=at(7, 9),
        update={"SeatoolEnabled": "true"},
    ),
    "a mapping that was absent and cannot poll": Scenario(
        7,
        busy,
        {"silent": Raised(at(2, 9), 49 * HOUR, is_over=False)},
        Course(off=(0, at(2, 9)), unreachable=(at(2, 9), at(7, 0))),
        parameters={"SeatoolEnabled": "absent"},
        updated=at(2, 9),
        update={"SeatoolEnabled": "true"},
    ),
    "a mapping that is switched off": Scenario(
        9,
        busy,
        {},
        Course(off=(at(0, 12), at(9, 0))),
        updated=at(0, 12),
        update={"SeatoolEnabled": "false"},
    ),
    # Outages.
    "brokers out of reach for days": Scenario(
        9, busy, {"silent": Raised(at(0, 12), 99 * HOUR)}, Course(unreachable=(at(0, 12), at(7, 12)))
    ),
    "brokers out of reach in provisioned mode": Scenario(
        2, busy, {"polling": Raised(at(0, 12), 20)}, Course(unreachable=(at(0, 12), at(0, 15))), parameters=PROVISIONED
    ),
    "DynamoDB does not answer": Scenario(
        2,
        busy,
        {"errors": Raised(at(0, 12), 10), "duration": Raised(at(0, 12), 5), "lag": Raised(at(0, 12), 75)},
        Course(stuck=(at(0, 12), at(0, 14))),
    ),
    "DynamoDB refuses": Scenario(
        2, busy, {"errors": Raised(at(0, 12), 10), "lag": Raised(at(0, 12), 75)}, Course(refused=(at(0, 12), at(0, 14)))
    ),
    "DynamoDB does not answer for a quiet topic": Scenario(
        2, quiet, {"errors": Raised(at(0, 9), 10), "duration": Raised(at(0, 9), 5)}, Course(stuck=(at(0, 9), at(0, 17)))
    ),
    "DynamoDB refuses a quiet topic's records": Scenario(
        2, quiet, {"errors": Raised(at(0, 9), 10)}, Course(refused=(at(0, 9), at(0, 17)))
    ),
    "Lambda has no concurrency left": Scenario(
        1, busy, {"throttles": Raised(at(0, 12), 10)}, Course(throttled=(at(0, 12), at(0, 12, 30)))
    ),
    "the function is too slow": Scenario(1, busy, {"lag": Raised(at(0, 8), 3 * HOUR)}, Course(capacity=120)),
    "rejected records cannot be set aside": Scenario(
        1,
        busy,
        {"errors": Raised(at(0, 12), 10), "quarantine-failed": Raised(at(0, 12), 5), "lag": Raised(at(0, 12), 75)},
        Course(refused=(at(0, 12), at(0, 14)), shares={"quarantineFailed": (0.01, at(0, 12), at(0, 14))}),
    ),
    "a rejected record of a quiet topic cannot be set aside": Scenario(
        1,
        quiet,
        {"errors": Raised(at(0, 9), 10), "quarantine-failed": Raised(at(0, 9), 5)},
        Course(refused=(at(0, 9), at(0, 9, 20)), shares={"quarantineFailed": (1, at(0, 9), at(0, 9, 20))}),
    ),
    "tombstones cannot be written": Scenario(
        1,
        busy,
        {"errors": Raised(at(0, 12), 10), "tombstone-failed": Raised(at(0, 12), 5), "lag": Raised(at(0, 12), 75)},
        Course(refused=(at(0, 12), at(0, 14)), shares={"tombstoneFailed": (0.01, at(0, 12), at(0, 14))}),
    ),
    # Records that are not right.
    "a rejected record a day": Scenario(
        7, busy, {"quarantined": Raised(at(0, 11), 1, times=5)}, Course(records={"quarantined": EVERY_DAY})
    ),
    "a rejected record a day in a quiet topic": Scenario(
        7, quiet, {"quarantined": Raised(at(0, 11), 1, times=5)}, Course(records={"quarantined": EVERY_DAY})
    ),
    "rejected records every ten minutes": Scenario(
        2, busy, {"quarantined": Raised(at(0, 9), 1)}, Course(records={"quarantined": EVERY_TEN_MINUTES})
    ),
    "a second writer": Scenario(
        2, busy, {"stale": Raised(at(0, 10), 75)}, Course(shares={"stale": (0.9, at(0, 10), at(0, 16))})
    ),
    "a short replay": Scenario(
        2, busy, {}, Course(shares={"stale": (0.9, at(0, 10), at(0, 10, 30))}, records={"stale": {at(0, 10): 100_000}})
    ),
    "a topic created again without a new epoch": Scenario(
        2, busy, {"regressions": Raised(at(0, 10), 10)}, Course(shares={"regression": (0.5, at(0, 10), at(0, 16))})
    ),
    "a regression now and then": Scenario(2, busy, {}, Course(records={"regression": {at(0, 10): 1, at(0, 13): 1}})),
    # What Lambda gives up.
    "a batch in the bucket": Scenario(
        2, busy, {"failures-bucket": Raised(at(0, 11), 1)}, Course(others={("AWS/S3", "PutRequests"): {at(0, 11): 1}})
    ),
    "batches in the bucket all day": Scenario(
        2, busy, {"failures-bucket": Raised(at(0, 9), 1)}, Course(others={("AWS/S3", "PutRequests"): EVERY_TEN_MINUTES})
    ),
    "a batch in the queue until someone takes it": Scenario(
        2,
        busy,
        {"failures-queue": Raised(at(0, 11), 1)},
        Course(
            others={
                ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): {
                    minute: int(minute < at(0, 16)) for minute in range(at(0, 11), at(1, 0))
                }
            }
        ),
        parameters={"OnFailureDestination": "sqs"},
    ),
    "a batch that no destination gets": Scenario(
        2,
        busy,
        {"dropped": Raised(at(0, 11), 1)},
        Course(others={("AWS/Lambda", "DestinationDeliveryFailures"): {at(0, 11): 1}}),
    ),
    "a batch that no destination gets in provisioned mode": Scenario(
        2,
        busy,
        {"dropped": Raised(at(0, 11), 1)},
        Course(others={("AWS/Lambda", "DroppedEventCount"): {at(0, 11): 500}}),
        parameters=PROVISIONED,
    ),
}


@functools.cache
def template_alarms(parameters):
    """The alarms of the simulated mapping, by what their names end with."""
    stack = Stack(**dict({"OnFailureDestination": "s3"} | dict(parameters)))
    prefix = "compare-connector-default-"
    named = {it["AlarmName"].removeprefix(prefix): it for it in stack.of_type("AWS::CloudWatch::Alarm").values()}
    others = tuple(f"sink{sink}Data-" for sink in SINKS if sink != "Seatool")
    return {name.removeprefix("sinkSeatoolData-"): it for name, it in named.items() if not name.startswith(others)}


def deploy(alarms, metrics, parameters, n_more, created):
    found = template_alarms(tuple(sorted(parameters.items())))
    for name in alarms.keys() - found.keys():
        del alarms[name]
    for name, properties in found.items():
        if name in alarms:
            alarms[name].update(properties)
        else:
            alarms[name] = Alarm(properties, metrics, n_more, created)


def run(scenario, metrics, n_more, worsen=None):
    """The alarms after a scenario; `worsen` changes properties by the alarm's name."""
    alarms = {}
    deploy(alarms, metrics, scenario.parameters, n_more, scenario.created)
    for name, change in (worsen or {}).items():
        alarms[name].update(change(alarms[name].properties))
    for minute in range(scenario.created or 1, metrics.n_minutes + 1):
        if minute == scenario.updated:
            deploy(alarms, metrics, scenario.parameters | scenario.update, n_more, minute)
        for alarm in alarms.values():
            alarm.evaluate(minute)
    return alarms


def metrics_of(scenario, seed):
    is_provisioned = scenario.parameters.get("PollerMode") == "provisioned"
    is_new = scenario.created is not None
    return simulate(seed, scenario.n_days * DAY, scenario.traffic, scenario.course, is_provisioned, is_new)


def when_raised(alarms):
    raised = {name: [minute for minute, state in alarm.changes if state == "ALARM"] for name, alarm in alarms.items()}
    return {name: minutes for name, minutes in raised.items() if minutes}


@pytest.mark.parametrize("name", SCENARIOS)
def test_alarms_are_raised_when_they_must_be_and_at_no_other_time(name):
    scenario = SCENARIOS[name]
    for seed in [1, 2, 3] if name in ("a quiet week", "a busy week") else [1]:
        metrics = metrics_of(scenario, seed)
        # How many data points are retrieved beyond those that are evaluated, is not documented.
        for n_more in [1, 2]:
            alarms = run(scenario, metrics, n_more)
            raised = when_raised(alarms)
            assert raised.keys() == scenario.raised.keys(), raised
            for alarm, expected in scenario.raised.items():
                minutes = raised[alarm]
                assert expected.cause < minutes[0] <= expected.cause + expected.within, (alarm, minutes)
                assert len(minutes) == expected.times, (alarm, minutes)
                assert (alarms[alarm].state == "OK") == expected.is_over, alarm


def test_each_alarm_is_raised_by_some_scenario():
    templates = [(("OnFailureDestination", to), ("PollerMode", "provisioned")) for to in ("s3", "sqs")]
    alarms = {name for parameters in templates for name in template_alarms(parameters)}
    assert {name for scenario in SCENARIOS.values() for name in scenario.raised} == alarms


def with_growth(expression):
    def change(properties):
        queries = [it | {"Expression": expression} if "Expression" in it else it for it in properties["Metrics"]]
        return properties | {"Metrics": queries, "EvaluationPeriods": 3, "DatapointsToAlarm": 3}

    return change


def with_properties(**changed):
    return lambda properties: properties | changed


@pytest.mark.parametrize(
    ("name", "alarm", "change"),
    [
        ("a busy week", "lag", with_growth("IF(DIFF(lag) > 0, 1, 0)")),
        ("a quiet week", "silent", with_properties(EvaluationPeriods=24, DatapointsToAlarm=24)),
        ("a new stage", "silent", with_properties(WarmUpConfiguration={})),
        ("rejected records every ten minutes", "quarantined", with_properties(EvaluationPeriods=5)),
        ("a rejected record a day in a quiet topic", "quarantined", with_properties(Period=3600, EvaluationPeriods=1)),
    ],
)
def test_a_worse_alarm_is_found_out(name, alarm, change):
    scenario = SCENARIOS[name]
    minutes = when_raised(run(scenario, metrics_of(scenario, 1), 2, {alarm: change}))[alarm]
    assert len(minutes) > getattr(scenario.raised.get(alarm), "times", 0), minutes


@pytest.mark.parametrize("sink", SINKS)
def test_the_alarms_of_all_mappings_are_the_same(sink):
    alarms = Stack(**{f"{sink}BatchSize": BATCHES["Seatool"][0]}).of_type("AWS::CloudWatch::Alarm")
    for logical_id, alarm in alarms.items():
        if logical_id.startswith(sink):
            as_seatool = json.loads(json.dumps(alarm).replace(sink, "Seatool"))
            assert as_seatool == alarms[logical_id.replace(sink, "Seatool")]


# A period's values by what an alarm makes of them: `0` is within the threshold, `1` beyond, `-` missing.
@pytest.mark.parametrize(
    ("points", "n", "m", "treatment", "state"),
    [
        ("00111", 3, 3, "notBreaching", "ALARM"),
        ("11110", 3, 3, "notBreaching", "OK"),
        ("11110", 3, 2, "notBreaching", "ALARM"),
        # Enough exist, so that it does not matter how missing ones are treated.
        ("1-1-1", 3, 3, "notBreaching", "ALARM"),
        ("0-1-1", 3, 3, "breaching", "OK"),
        # The oldest that is retrieved counts too.
        ("0----", 3, 3, "breaching", "OK"),
        ("0----", 3, 2, "breaching", "ALARM"),
        ("1----", 3, 1, "notBreaching", "ALARM"),
        ("1----", 3, 2, "notBreaching", "OK"),
        ("-----", 3, 3, "breaching", "ALARM"),
        ("-----", 3, 1, "notBreaching", "OK"),
        # The last that exists is that of one period.
        ("--1--", 1, 1, "notBreaching", "ALARM"),
        ("-1---", 1, 1, "notBreaching", "OK"),
    ],
)
def test_missing_data_is_treated_as_documented(points, n, m, treatment, state):
    metrics = Metrics(len(points))
    for minute, point in enumerate(points):
        if point != "-":
            metrics.add("n", "m", minute, int(point))
    properties = {
        "Namespace": "n",
        "MetricName": "m",
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": n,
        "DatapointsToAlarm": m,
        "Threshold": 0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": treatment,
    }
    alarm = Alarm(properties, metrics, n_more=2, created=None)
    alarm.evaluate(len(points))
    assert alarm.state == state


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("a", [1, None, 4, None]),
        ("100 * a / (5 * 10)", [2, None, 8, None]),
        # Missing beside one that exists is 0; both missing are missing; divided by 0 is dropped.
        ("a + b", [1, 2, 8, None]),
        ("b / a", [0, None, 1, None]),
        ("a > 1", [0, None, 1, None]),
        ("a < b", [0, 1, 0, None]),
        ("DIFF(a)", [None, None, 3, None]),
        ("IF(a > 1, DIFF(a), 0)", [0, None, 3, None]),
        ("IF(a > 0, DIFF(a), 0)", [0, None, 3, None]),
        ("IF(b > 0, 100 * a / b, 0)", [None, 0, 100, None]),
    ],
)
def test_metric_math_is_as_documented(expression, values):
    series = {"a": [1, None, 4, None], "b": [None, 2, 4, None]}
    assert math(ast.parse(expression, mode="eval").body, series) == values

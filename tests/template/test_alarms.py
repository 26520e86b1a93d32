"""Alarms and dashboard: that each metric exists with just these dimensions, and that each alarm says what to do."""

import json

import pytest
from combinations import ALL, THEIR_TABLES
from stack import SINKS, Stack
from test_functions import CONTRACT

# What AWS's services count, with the dimensions that they count by.
AWS_METRICS = {
    "AWS/Lambda": {
        "Errors": {"FunctionName"},
        "Throttles": {"FunctionName"},
        "Duration": {"FunctionName"},
        "Invocations": {"FunctionName"},
        "OffsetLag": {"FunctionName"},
        # Counted where the mapping's `MetricsConfig` asks for `EventCount`.
        "DroppedEventCount": {"EventSourceMappingUUID"},
        # Counted where it asks for `ErrorCount`.
        "PollingErrorCount": {"EventSourceMappingUUID"},
        "DestinationDeliveryFailures": {"FunctionName"},
    },
    "AWS/DynamoDB": {"ConsumedWriteCapacityUnits": {"TableName"}},
    # Counted where the bucket has a metrics configuration of this id.
    "AWS/S3": {"PutRequests": {"BucketName", "FilterId"}},
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible": {"QueueName"}},
}

# The statistics that say something: what counts is summed up, what is a time or a level is not.
STATISTICS = {
    "Duration": {"Maximum", "p50", "p99"},
    "OffsetLag": {"Maximum"},
    "ApproximateNumberOfMessagesVisible": {"Maximum"},
} | {name: {"Maximum", "p50", "p99"} for name in CONTRACT["milliseconds"]}

# An alarm for each thing that someone must act on, by sink: what it watches, and the least value that is too much.
BY_SINK = {
    "ErrorsAlarm": {"Errors"},
    "ThrottlesAlarm": {"Throttles"},
    "DurationAlarm": {"Duration"},
    "SilentAlarm": {"received"},
    "LagAlarm": {"OffsetLag"},
    "QuarantinedAlarm": {"quarantined"},
    "QuarantineFailedAlarm": {"quarantineFailed"},
    "StaleAlarm": {"stale", "received"},
}


# When each is raised: what is compared, and with what; seconds of a period, and of how many periods how many.
WHEN = {
    "ErrorsAlarm": ("Sum", 0, 60, 10, 5),
    "ThrottlesAlarm": ("Sum", 0, 60, 10, 5),
    "DurationAlarm": ("100 * duration / (60 * 1000)", 80, 300, 1, 1),
    "SilentAlarm": ("Sum", 0, 3600, "24", "24"),
    "LagAlarm": ("IF(DIFF(lag) > 0, 1, 0)", 0, 600, 3, 3),
    "QuarantinedAlarm": ("Sum", 0, 300, 1, 1),
    "QuarantineFailedAlarm": ("Sum", 0, 300, 1, 1),
    "TombstoneFailedAlarm": ("Sum", 0, 300, 1, 1),
    "RegressionsAlarm": ("IF(received > 0, 100 * regressions / received, 0)", 1, 300, 3, 2),
    "StaleAlarm": ("IF(received > 0, 100 * stale / received, 0)", 50, 900, 4, 4),
    "DroppedAlarm": ("Sum", 0, 300, 1, 1),
    "PollingAlarm": ("Sum", 0, 300, 3, 3),
    "BucketAlarm": ("Sum", 0, 300, 1, 1),
    "QueueAlarm": ("Maximum", 0, 300, 1, 1),
}


def expected_alarms(combination):
    alarms = {f"{sink}{name}": metrics for sink in SINKS for name, metrics in BY_SINK.items()}
    alarms["SeatoolTombstoneFailedAlarm"] = {"tombstoneFailed"}
    # Only records that offsets order can regress.
    alarms["SeatoolRegressionsAlarm"] = {"regression", "received"}
    dropped = "DroppedEventCount" if combination.is_provisioned else "DestinationDeliveryFailures"
    alarms |= {f"{sink}DroppedAlarm": {dropped} for sink in SINKS}
    if combination.is_provisioned:
        alarms |= {f"{sink}PollingAlarm": {"PollingErrorCount"} for sink in SINKS}
    if combination.destination == "s3":
        alarms["FailuresBucketAlarm"] = {"PutRequests"}
    if combination.destination == "sqs":
        alarms["FailuresQueueAlarm"] = {"ApproximateNumberOfMessagesVisible"}
    return alarms


def alarm_metrics(alarm):
    """Namespace, name, dimensions and statistic of each metric that an alarm watches."""
    if "MetricName" in alarm:
        yield alarm["Namespace"], alarm["MetricName"], dimensions(alarm), alarm["Statistic"]
    for query in alarm.get("Metrics", []):
        if "MetricStat" in query:
            metric = query["MetricStat"]["Metric"]
            yield metric["Namespace"], metric["MetricName"], dimensions(metric), query["MetricStat"]["Stat"]


def dimensions(metric):
    return {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}


def check_metric(stack, namespace, name, dimensions, statistic):
    assert statistic in STATISTICS.get(name, {"Sum"}), name
    if namespace == CONTRACT["namespace"]:
        assert name in CONTRACT["metrics"]
        assert list(dimensions) == CONTRACT["dimensions"]
        assert dimensions["stage"] == "default"
    else:
        assert set(dimensions) == AWS_METRICS[namespace][name]
    existing = {*stack.resources, "default", "all", *THEIR_TABLES.values(), "FailuresQueue.QueueName"}
    assert set(dimensions.values()) <= existing
    if "FilterId" in dimensions:
        assert {"Id": dimensions["FilterId"]} in stack.properties(dimensions["BucketName"])["MetricsConfigurations"]
    if "EventSourceMappingUUID" in dimensions:
        mapping = stack.properties(dimensions["EventSourceMappingUUID"])
        assert {"EventCount", "ErrorCount"} <= set(mapping["MetricsConfig"]["Metrics"])


def test_each_alarm_watches_metrics_that_exist(combination):
    stack = combination.stack
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    found = {logical_id: {name for _, name, _, _ in alarm_metrics(alarm)} for logical_id, alarm in alarms.items()}
    assert found == expected_alarms(combination)
    for logical_id, alarm in alarms.items():
        for namespace, name, its_dimensions, statistic in alarm_metrics(alarm):
            check_metric(stack, namespace, name, its_dimensions, statistic)
            if "FunctionName" in its_dimensions or "function" in its_dimensions:
                function = its_dimensions.get("FunctionName") or its_dimensions["function"]
                assert function == next(it for sink, it in SINKS.items() if logical_id.startswith(sink))


def test_each_widget_shows_metrics_that_exist(combination):
    stack = combination.stack
    shown = set()
    for widget in json.loads(stack.properties("Dashboard")["DashboardBody"])["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], dict):
                continue
            namespace, name, *rest = metric
            pairs, options = rest[:-1], rest[-1]
            # The price of time is that of all of it.
            is_price = name == "Duration" and not options.get("visible", True)
            statistic = "Maximum" if is_price and options["stat"] == "Sum" else options["stat"]
            check_metric(stack, namespace, name, dict(zip(pairs[::2], pairs[1::2])), statistic)
            shown.add(name)
    assert shown >= {"OffsetLag", "oldestRecordAge", "batchDuration", "quarantined", "regression", "failed", "Errors", "Duration"}
    given_up = {"s3": {"PutRequests"}, "sqs": {"ApproximateNumberOfMessagesVisible"}, "none": set()}
    assert shown & {"PutRequests", "ApproximateNumberOfMessagesVisible"} == given_up[combination.destination]


def test_the_dashboard_prices_time_and_writes():
    widgets = json.loads(Stack(MemorySize="512").properties("Dashboard")["DashboardBody"])["widgets"]
    (metrics,) = [widget["properties"]["metrics"] for widget in widgets if "cost" in widget["properties"]["title"]]
    expressions = {metric[0]["id"]: metric[0]["expression"] for metric in metrics if isinstance(metric[0], dict)}
    an_hour = {name: 0 for name in ("da", "db", "ia", "ib", "wa", "ws", "wt", "wq")}

    def dollars(name, **counted):
        return eval(expressions[name], {"FILL": lambda value, default: value, **an_hour, **counted})

    # A thousand seconds of half a GB, a million invocations, a million write units.
    assert dollars("lambda", da=600_000, db=400_000) == pytest.approx(500 * 0.0000133334)
    assert dollars("lambda", ia=400_000, ib=600_000) == pytest.approx(0.20)
    for table in ("wa", "ws", "wt", "wq"):
        assert dollars("writes", **{table: 1_000_000}) == pytest.approx(0.625)


@pytest.fixture
def alarms():
    """Those of the stacks that together have every alarm."""
    found = {}
    for combination in ALL:
        found |= combination.stack.of_type("AWS::CloudWatch::Alarm")
    return found


def test_the_dashboard_shows_each_alarm(combination):
    stack = combination.stack
    widgets = json.loads(stack.properties("Dashboard")["DashboardBody"])["widgets"]
    (widget,) = [widget for widget in widgets if widget["type"] == "alarm"]
    assert sorted(widget["properties"]["alarms"]) == sorted(
        f"{logical_id}.Arn" for logical_id in stack.of_type("AWS::CloudWatch::Alarm")
    )


def test_each_alarm_says_what_to_do_and_stays_quiet_without_data(alarms):
    names = {alarm["AlarmName"] for alarm in alarms.values()}
    assert len(names) == len(alarms)
    for alarm in alarms.values():
        assert 80 < len(alarm["AlarmDescription"]) <= 1024
        assert alarm["AlarmName"].startswith("compare-connector-default-")
        # Only the one for a mapping that does nothing is raised by nothing.
        is_silent = alarm["AlarmName"].endswith("-silent")
        assert alarm["TreatMissingData"] == ("breaching" if is_silent else "notBreaching")
        operator = "LessThanOrEqualToThreshold" if is_silent else "GreaterThanThreshold"
        assert alarm["ComparisonOperator"] == operator
        assert alarm["DatapointsToAlarm"] <= alarm["EvaluationPeriods"]
        assert "AlarmActions" not in alarm


def test_each_alarm_is_raised_when_someone_must_act(alarms):
    for logical_id, alarm in alarms.items():
        what = alarm.get("Statistic")
        periods = [alarm.get("Period")]
        if "Metrics" in alarm:
            (what,) = [query["Expression"] for query in alarm["Metrics"] if query.get("ReturnData") is not False]
            periods = [query["MetricStat"]["Period"] for query in alarm["Metrics"] if "MetricStat" in query]
        (period,) = set(periods)
        name = next(name for name in WHEN if logical_id.endswith(name) and not logical_id.endswith(f"Quarantine{name}"))
        when = what, alarm["Threshold"], period, alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]
        assert when == WHEN[name], logical_id


def test_alarms_go_to_the_topic():
    topic = "arn:aws:sns:us-east-1:111122223333:on-call"
    for alarm in Stack(AlarmTopicArn=topic).of_type("AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == [topic]
        # What waits for someone waits on when nothing more is added to it.
        still_waits = alarm["AlarmName"].endswith(("-quarantined", "-failures-bucket"))
        assert alarm.get("OKActions") == (None if still_waits else [topic])


def test_a_mapping_that_was_switched_off_is_silent_without_a_message():
    stack = Stack(AppianEnabled="false", SilentHours="48")
    appian, seatool = stack.properties("AppianSilentAlarm"), stack.properties("SeatoolSilentAlarm")
    assert (appian["ActionsEnabled"], seatool["ActionsEnabled"]) == ("false", "true")
    assert appian["EvaluationPeriods"] == appian["DatapointsToAlarm"] == "48"


def test_the_duration_alarm_follows_the_timeout():
    alarm = Stack(Timeout="90").properties("AppianDurationAlarm")
    (expression,) = [query["Expression"] for query in alarm["Metrics"] if "Expression" in query]
    assert expression == "100 * duration / (90 * 1000)"
    assert alarm["Threshold"] == 80

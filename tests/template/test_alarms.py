"""Alarms and dashboard: what each watches and says, that these metrics exist, and what they cost.

Whether they are raised when they should be, `test_alarm_scenarios.py` tries.
"""

import itertools
import json
import re
from pathlib import Path

import pytest
from combinations import ALL, THEIR_TABLES
from stack import BATCHES, BY_OFFSET, CONTRACT, DELETING, SINKS, Stack

OPERATIONS = Path(__file__).parents[2] / "crates/sinkctl/OPERATIONS.md"

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

# Only records that offsets order can regress.
OF_SOME = {
    **{f"{sink}TombstoneFailedAlarm": {"tombstoneFailed"} for sink in DELETING},
    **{f"{sink}RegressionsAlarm": {"regression", "received"} for sink in BY_OFFSET},
}

# When each is raised: what is compared, and with what; seconds of a period, and of how many periods how many.
WHEN = {
    "ErrorsAlarm": ("Sum", 0, 60, 15, 5),
    "ThrottlesAlarm": ("Sum", 0, 60, 10, 5),
    "DurationAlarm": ("100 * duration / (60 * 1000)", 80, 60, 5, 1),
    "SilentAlarm": ("Sum", 0, 3600, "96", "96"),
    **{
        f"{sink}LagAlarm": (f"IF(lag > 10 * {batch_size}, DIFF(lag), 0)", 0, 600, 4, 4)
        for sink, (batch_size, _) in BATCHES.items()
    },
    "QuarantinedAlarm": ("Sum", 0, 60, 60, 1),
    "QuarantineFailedAlarm": ("Sum", 0, 60, 5, 1),
    "TombstoneFailedAlarm": ("Sum", 0, 60, 5, 1),
    "RegressionsAlarm": ("IF(received > 0, 100 * regressions / received, 0)", 1, 300, 3, 2),
    "StaleAlarm": ("IF(received > 0, 100 * stale / received, 0)", 50, 900, 4, 4),
    "DroppedAlarm": ("Sum", 0, 60, 5, 1),
    "PollingAlarm": ("Sum", 0, 300, 3, 3),
    "BucketAlarm": ("Sum", 0, 60, 60, 1),
    "QueueAlarm": ("Maximum", 0, 60, 60, 1),
}


def expected_alarms(combination):
    alarms = {f"{sink}{name}": metrics for sink in SINKS for name, metrics in BY_SINK.items()}
    alarms |= OF_SOME
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


def widgets(stack):
    return json.loads(stack.properties("Dashboard")["DashboardBody"])["widgets"]


def alarms_shown(stack):
    (widget,) = [widget for widget in widgets(stack) if widget["type"] == "alarm"]
    return widget["properties"]["alarms"]


def metrics_shown(stack):
    """Namespace, name, dimensions and statistic of each metric of the dashboard."""
    for widget in widgets(stack):
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], dict):
                yield from metrics_searched(metric[0]["expression"])
                continue
            namespace, name, *rest = metric
            pairs, options = rest[:-1], rest[-1]
            yield namespace, name, dict(zip(pairs[::2], pairs[1::2])), options["stat"]


def metrics_searched(expression):
    """Those that its searches find."""
    for search, statistic in re.findall(r"SEARCH\('(.*?)', '(\w+)'\)", expression):
        schema, terms = re.fullmatch(r"\{([^}]*)\} (.*)", search).groups()
        namespace, *dimensions = schema.split(",")
        found = re.findall(r'(\w+)=\(?("[^")]*(?:" OR "[^")]*)*")\)?', terms)
        wanted = {name: values.strip('"').split('" OR "') for name, values in found}
        assert set(wanted) == {"MetricName", *dimensions}
        for name, *values in itertools.product(wanted["MetricName"], *(wanted[it] for it in dimensions)):
            # The price of time is that of all of it.
            is_price = name == "Duration" and statistic == "Sum"
            yield namespace.strip('"'), name, dict(zip(dimensions, values)), "Maximum" if is_price else statistic


def test_each_widget_shows_metrics_that_exist(combination):
    stack = combination.stack
    for namespace, name, its_dimensions, statistic in metrics_shown(stack):
        check_metric(stack, namespace, name, its_dimensions, statistic)
    shown = {name for _, name, _, _ in metrics_shown(stack)}
    assert shown >= {"OffsetLag", "oldestRecordAge", "batchDuration", "quarantined", "regression", "failed"}
    assert shown >= {"Errors", "Duration"}
    assert ("DroppedEventCount" in shown) == combination.is_provisioned
    given_up = {"s3": {"PutRequests"}, "sqs": {"ApproximateNumberOfMessagesVisible"}, "none": set()}
    assert shown & {"PutRequests", "ApproximateNumberOfMessagesVisible"} == given_up[combination.destination]


def test_the_dashboard_prices_time_and_writes():
    properties = [widget["properties"] for widget in widgets(Stack(MemorySize="512"))]
    (metrics,) = [it["metrics"] for it in properties if "cost" in it["title"]]
    expressions = {metric[0]["label"]: metric[0]["expression"] for metric in metrics}

    def dollars(label, **counted):
        """What an expression makes of so much of each metric, all sinks and tables together."""
        expression, n_searches = re.subn(
            r"SUM\(FILL\((SEARCH\('.*?', 'Sum'\)), 0\)\)",
            lambda search: str(counted.get(re.search(r'MetricName="(\w+)"', search[1])[1], 0)),
            expressions[label],
        )
        assert n_searches
        return eval(expression)

    # A thousand seconds of half a GB, a million invocations, a million write units.
    assert dollars("Lambda", Duration=1_000_000) == pytest.approx(500 * 0.0000133334)
    assert dollars("Lambda", Invocations=1_000_000) == pytest.approx(0.20)
    assert dollars("DynamoDB writes", ConsumedWriteCapacityUnits=1_000_000) == pytest.approx(0.625)


def test_the_dashboard_prices_each_function_and_table(combination):
    stack = combination.stack
    shown = [(name, set(its_dimensions.values())) for _, name, its_dimensions, _ in metrics_shown(stack)]
    variables = [stack.variables(sink) for sink in SINKS]
    for name, priced in [
        ("Duration", set(SINKS.values())),
        ("Invocations", set(SINKS.values())),
        ("ConsumedWriteCapacityUnits", {it[key] for it in variables for key in it if key.endswith("TABLE_NAME")}),
    ]:
        assert set().union(*(values for shown_name, values in shown if shown_name == name)) == priced


@pytest.fixture
def alarms():
    """Those of the stacks that together have every alarm."""
    found = {}
    for combination in ALL:
        found |= combination.stack.of_type("AWS::CloudWatch::Alarm")
    return found


def test_the_dashboard_shows_each_alarm(combination):
    stack = combination.stack
    arns = [f"{logical_id}.Arn" for logical_id in stack.of_type("AWS::CloudWatch::Alarm")]
    assert sorted(alarms_shown(stack)) == sorted(arns)


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


def test_only_a_mapping_that_polls_is_missed():
    stack = Stack(AppianEnabled="false", SeatoolEnabled="true", SilentHours="168")
    assert "AppianSilentAlarm" not in stack.resources
    alarm = stack.properties("SeatoolSilentAlarm")
    assert "ActionsEnabled" not in alarm
    # CloudWatch lets the alarm wait two days at most for its first record, and look back a week.
    assert alarm["WarmUpConfiguration"] == {"WarmUpPeriodDurationInMinutes": 2 * 24 * 60}
    assert alarm["EvaluationPeriods"] == alarm["DatapointsToAlarm"] == "168"
    assert 168 * alarm["Period"] <= 7 * 24 * 3600


@pytest.mark.parametrize("monitoring", ["full", "alarms", "none"])
@pytest.mark.parametrize("poller_mode", ["on-demand", "provisioned"])
@pytest.mark.parametrize("destination", ["s3", "sqs", "none"])
def test_what_monitoring_pays_for(monitoring, poller_mode, destination):
    has_alarms, is_provisioned = monitoring != "none", poller_mode == "provisioned"
    values = ["true", "false", "absent"]
    # Any two sinks have each pair of values once.
    for first, step in itertools.product(range(3), repeat=2):
        enabled = {sink: values[(first + number * step) % 3] for number, sink in enumerate(SINKS)}
        stack = Stack(
            Monitoring=monitoring,
            PollerMode=poller_mode,
            OnFailureDestination=destination,
            **{f"{sink}Enabled": value for sink, value in enabled.items()},
        )
        expected = set()
        if has_alarms:
            expected = {f"{sink}{name}" for sink in SINKS for name in BY_SINK if name != "SilentAlarm"}
            expected |= set(OF_SOME)
            for sink, value in enabled.items():
                expected |= {f"{sink}SilentAlarm"} if value == "true" else set()
                expected |= {f"{sink}DroppedAlarm"} if value != "absent" else set()
                expected |= {f"{sink}PollingAlarm"} if value != "absent" and is_provisioned else set()
            expected |= {"s3": {"FailuresBucketAlarm"}, "sqs": {"FailuresQueueAlarm"}, "none": set()}[destination]
        assert set(stack.of_type("AWS::CloudWatch::Alarm")) == expected
        assert ("Dashboard" in stack.resources) == ("DashboardUrl" in stack.outputs) == (monitoring == "full")
        if monitoring == "full":
            assert set(alarms_shown(stack)) == {f"{logical_id}.Arn" for logical_id in expected}
            for namespace, name, its_dimensions, statistic in metrics_shown(stack):
                check_metric(stack, namespace, name, its_dimensions, statistic)
        if destination == "s3":
            assert ("MetricsConfigurations" in stack.properties("FailuresBucket")) == has_alarms
        groups = {"full": ["EventCount", "ErrorCount", "KafkaMetrics"], "alarms": ["EventCount", "ErrorCount"]}
        metered = groups.get(monitoring) if is_provisioned else None
        for mapping in stack.of_type("AWS::Lambda::EventSourceMapping").values():
            assert mapping.get("MetricsConfig") == (metered and {"Metrics": metered})


# The prices of us-east-1, in dollars a month.
METRIC, ALARM_METRIC, DASHBOARD = 0.30, 0.10, 3.00
# How many metrics each group of a mapping has at most.
GROUPS = {"EventCount": 7, "ErrorCount": 5, "KafkaMetrics": 2}


@pytest.mark.parametrize(
    # What each mapping has, and what the stack has besides; some sinks have alarms more.
    ("poller_mode", "monitoring", "alarms_each", "alarm_metrics_each", "mapping_metrics_each", "alarms_besides", "in_the_guide"),
    [
        ("on-demand", "full", 9, 10, 0, 0, "${dollars:.2f} ({alarm_metrics} metrics in {alarms} alarms)"),
        ("on-demand", "alarms", 9, 10, 0, 0, "${dollars:.2f}"),
        ("on-demand", "none", 0, 0, 0, 0, "$0"),
        (
            "provisioned",
            "full",
            10,
            11,
            14,
            1,
            "${dollars:.2f} at most ({alarm_metrics} in {alarms} alarms, {mapping_metrics} of the mappings)",
        ),
        ("provisioned", "alarms", 10, 11, 12, 1, "${dollars:.2f} at most ({mapping_metrics} of the mappings)"),
        ("provisioned", "none", 0, 0, 0, 0, "$0"),
    ],
)
def test_what_monitoring_costs_a_month(
    poller_mode, monitoring, alarms_each, alarm_metrics_each, mapping_metrics_each, alarms_besides, in_the_guide
):
    stack = Stack(PollerMode=poller_mode, Monitoring=monitoring)
    alarms = stack.of_type("AWS::CloudWatch::Alarm").values()
    mappings = stack.of_type("AWS::Lambda::EventSourceMapping").values()
    groups = [group for mapping in mappings for group in mapping.get("MetricsConfig", {"Metrics": []})["Metrics"]]
    counts = {
        "alarms": len(alarms),
        "alarm_metrics": len([metric for alarm in alarms for metric in alarm_metrics(alarm)]),
        "mapping_metrics": sum(GROUPS[group] for group in groups),
    }
    of_some = OF_SOME if alarms_each else {}
    assert counts == {
        "alarms": alarms_each * len(SINKS) + len(of_some) + alarms_besides,
        "alarm_metrics": alarm_metrics_each * len(SINKS) + sum(map(len, of_some.values())) + alarms_besides,
        "mapping_metrics": mapping_metrics_each * len(SINKS),
    }
    n_dashboards = len(stack.of_type("AWS::CloudWatch::Dashboard"))
    cost = counts["mapping_metrics"] * METRIC + counts["alarm_metrics"] * ALARM_METRIC + n_dashboards * DASHBOARD
    guide = OPERATIONS.read_text()
    *_, on_demand, provisioned = re.search(rf"^\| `{monitoring}` \|(.*\$.*)\|$", guide, re.MULTILINE)[1].split("|")
    found = {"on-demand": on_demand, "provisioned": provisioned}[poller_mode]
    assert found.strip() == in_the_guide.format(dollars=cost, **counts)
    # On top, whatever Monitoring says, for each hour with a batch: what the functions themselves count.
    assert f"CloudWatch  {len(CONTRACT['metrics'])} metrics a sink × ${METRIC:.2f}" in guide


def test_the_duration_alarm_follows_the_timeout():
    alarm = Stack(Timeout="90").properties("AppianDurationAlarm")
    (expression,) = [query["Expression"] for query in alarm["Metrics"] if "Expression" in query]
    assert expression == "100 * duration / (90 * 1000)"
    assert alarm["Threshold"] == 80

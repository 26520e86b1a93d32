use dynoxide::types::{KeyType, ScalarAttributeType};

use super::*;

const WORKSPACE_TEMPLATE: &str = include_str!("../../../../template.yaml");

#[test]
fn the_workspace_template_declares_the_tables() {
    #[track_caller]
    fn check(name: &str, ttl_attribute: Option<&str>, stream_view_type: Option<&str>) {
        let template = Template::parse(WORKSPACE_TEMPLATE, &[("Stage", LOCAL_STAGE)]).unwrap();
        let table = template.tables.iter().find(|table| table.name == name).unwrap();
        assert_eq!(table.ttl_attribute.as_deref(), ttl_attribute);
        assert_eq!(table.stream_view_type.as_deref(), stream_view_type);
        assert_eq!(table.billing_mode.as_deref(), Some("PAY_PER_REQUEST"));
        let key = table.key_schema.iter().map(|it| (it.attribute_name.as_str(), &it.key_type));
        assert_eq!(key.collect::<Vec<_>>(), [("PK", &KeyType::HASH), ("SK", &KeyType::RANGE)]);
        let definitions = table.attribute_definitions.iter();
        let types = definitions.map(|it| (it.attribute_name.as_str(), &it.attribute_type));
        let text = &ScalarAttributeType::S;
        assert_eq!(types.collect::<Vec<_>>(), [("PK", text), ("SK", text)]);
    }

    check("compare-connector-local-appian", None, Some("NEW_AND_OLD_IMAGES"));
    check("compare-connector-local-seatool", None, Some("NEW_AND_OLD_IMAGES"));
    check("compare-connector-local-seatool-tombstones", Some("expiresAt"), None);
    check("compare-connector-local-quarantine", Some("expiresAt"), None);
}

/// Only some of the variables: that none is forgotten, the integration test `declared` sees.
#[test]
fn the_workspace_template_declares_the_functions() {
    #[track_caller]
    fn check(binary: &str, own: &[(&str, Option<&str>)]) {
        let template = Template::parse(WORKSPACE_TEMPLATE, &[("Stage", LOCAL_STAGE)]).unwrap();
        let function = template.functions.iter().find(|it| it.binary == binary).unwrap();
        assert_eq!(function.name, format!("compare-connector-local-{binary}"));
        // From the globals; the second is empty, the third names another resource.
        let common = [
            ("STAGE", Some("local")),
            ("DYNAMODB_MAX_CONCURRENCY", Some("")),
            ("QUARANTINE_TABLE_NAME", Some("compare-connector-local-quarantine")),
        ];
        for (name, expected) in common.iter().chain(own) {
            assert_eq!(function.variables.get(*name).map(String::as_str), *expected, "{name}");
        }
    }

    check(
        "sinkAppianData",
        &[
            ("TABLE_NAME", Some("compare-connector-local-appian")),
            ("KAFKA_TOPIC", Some("aws.appian.cmcs.MCP_SPA_PCKG")),
            ("TOMBSTONE_TABLE_NAME", None),
        ],
    );
    check(
        "sinkSeatoolData",
        &[
            ("TABLE_NAME", Some("compare-connector-local-seatool")),
            ("KAFKA_TOPIC", Some("aws.ksqldb.seatool.agg.State_Plan")),
            ("TOMBSTONE_TABLE_NAME", Some("compare-connector-local-seatool-tombstones")),
        ],
    );
}

#[test]
fn parameters_override_their_defaults() {
    #[track_caller]
    fn check(parameters: &[(&str, &str)], table: &str, epoch: &str) {
        let template = Template::parse(WORKSPACE_TEMPLATE, parameters).unwrap();
        assert_eq!(template.tables[0].name, table);
        assert_eq!(template.functions[0].variables["EPOCH"], epoch);
    }

    check(&[], "compare-connector-default-appian", "0");
    check(&[("Stage", "val")], "compare-connector-val-appian", "0");
    check(
        &[("Stage", "val"), ("AppianEpoch", "9999999999")],
        "compare-connector-val-appian",
        "9999999999",
    );
}

/// The variable `V` of a function in a template that has a table and conditions beside it.
fn variable(value: &str) -> anyhow::Result<Option<String>> {
    let text = format!(
        "
Parameters:
  Stage: {{Type: String, Default: local}}
  Open: {{Type: String}}
  Count: {{Type: Number, Default: 7}}
  Empty: {{Type: String, Default: ''}}
  NoNames: {{Type: CommaDelimitedList, Default: ''}}
  Names: {{Type: CommaDelimitedList, Default: 'a, b,c'}}
  Numbers: {{Type: List<Number>, Default: '1,2'}}
  Secret: {{Type: AWS::SSM::Parameter::Value<String>, Default: /a/name}}
  Subnets: {{Type: AWS::SSM::Parameter::Value<List<String>>, Default: /another/name}}
Rules:
  Ignored: {{Assertions: [{{Assert: !NotNeeded [!Ref Nowhere]}}]}}
Conditions:
  IsLocal: !Equals [!Ref Stage, local]
  IsRemote: !Not [!Condition IsLocal]
  Both: !And [!Condition IsLocal, !Condition IsRemote]
  Either: {{'Fn::Or': [{{Condition: IsLocal}}, {{Condition: IsRemote}}]}}
  Seven: !Equals [!Ref Count, 7]
  IsEmpty: !Equals [!Ref Empty, '']
  HasNames: !Not [!Equals [!Join ['', !Ref Names], '']]
  HasNoNames: !Not [!Equals [!Join ['', !Ref NoNames], '']]
  ThirdIsC: !Equals [!Select [2, !Split [',', !Join [',', [!Join [',', !Ref Names], none]]]], c]
  FourthIsNone: !Equals [!Select [3, !Split [',', !Join [',', [!Join [',', !Ref Names], none]]]], none]
  OfSsm: !Equals [!Select [0, !Ref Subnets], none]
  OfLists: !Equals [!Ref Names, !Ref Names]
  Circle: !Not [!Condition Circle]
Globals: {{Function: {{CodeUri: ., MemorySize: !Ref Count, Timeout: '30', Environment: {{Variables: {{G: 1, V: global}}}}}}}}
Resources:
  T:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: !Sub 'data-${{Stage}}'
      KeySchema: [{{AttributeName: PK, KeyType: HASH}}]
      AttributeDefinitions: !If [IsLocal, [{{AttributeName: PK, AttributeType: S}}], !Ref AWS::NoValue]
      TimeToLiveSpecification: !If [IsLocal, {{AttributeName: !Ref Stage, Enabled: true}}, !Ref AWS::NoValue]
      StreamSpecification: !If [IsLocal, !Ref AWS::NoValue, {{StreamViewType: KEYS_ONLY}}]
      PointInTimeRecoverySpecification: {{PointInTimeRecoveryEnabled: !Ref Nowhere}}
      SSESpecification: {{SSEEnabled: true, SSEType: KMS, KMSMasterKeyId: !GetAtt Key.Arn}}
      Tags: !NotNeeded {{x: !Ref Nowhere}}
  Absent: {{Type: AWS::DynamoDB::Table, Condition: IsRemote}}
  Role: {{Type: AWS::IAM::Role}}
  F:
    Type: AWS::Serverless::Function
    Metadata: {{BuildProperties: {{Binary: f}}}}
    Properties:
      FunctionName: !Sub 'f-${{Stage}}'
      Architectures: [!Ref Open]
      Environment: {{Variables: {{V: {value}}}}}
"
    );
    let template = Template::parse(&text, &[])?;
    let [table] = template.tables.as_slice() else {
        panic!("a table whose condition does not hold does not exist")
    };
    assert_eq!(table.attribute_definitions.len(), 1);
    assert_eq!((table.ttl_attribute.as_deref(), &table.stream_view_type), (Some("local"), &None));
    assert_eq!(
        (template.functions[0].memory_size, template.functions[0].timeout),
        (7, Duration::from_secs(30))
    );
    assert_eq!(template.functions[0].variables["G"], "1", "globals are kept");
    Ok(template.functions[0].variables.get("V").cloned())
}

#[test]
fn values_resolve_as_in_cloudformation() {
    #[track_caller]
    fn check(value: &str, expected: &str) {
        assert_eq!(variable(value).unwrap().as_deref(), Some(expected));
    }

    check("plain", "plain");
    check("12", "12");
    check("true", "true");
    check("!Ref Stage", "local");
    check("{Ref: Stage}", "local");
    check("!Ref Count", "7");
    check("!Ref AWS::Region", "us-east-1");
    check("!Ref T", "data-local");
    check("!Ref F", "f-local");
    check("!GetAtt T.Arn", "arn:aws:dynamodb:us-east-1:000000000000:table/data-local");
    check("!GetAtt [F, Arn]", "arn:aws:lambda:us-east-1:000000000000:function:f-local");
    check(
        "!Sub 'a-${Stage}-${T}-${!Stage}-${T.Arn}-$'",
        "a-local-data-local-${Stage}-arn:aws:dynamodb:us-east-1:000000000000:table/data-local-$",
    );
    check("!Sub ['${Stage}/${Own}', {Own: !Ref Count}]", "local/7");
    check("{'Fn::Sub': '${Stage}'}", "local");
    check("!If [IsLocal, here, !Ref Nowhere]", "here");
    check("!If [IsRemote, !Ref Nowhere, !Sub '${Stage}']", "local");
    check("!If [Both, both, not both]", "not both");
    check("!If [Either, either, neither]", "either");
    check("!If [Seven, seven, other]", "seven");
    check("!If [IsEmpty, empty, full]", "empty");
    check("!Ref Empty", "");
    check("!Join ['-', !Ref Names]", "a-b-c");
    check("!Join ['', !Ref NoNames]", "");
    check("!Join ['+', !Ref Numbers]", "1+2");
    check(
        "!Join [',', [!Ref Stage, !Ref AWS::NoValue, !Join ['.', [x, 1]], true]]",
        "local,x.1,true",
    );
    check("!Select [0, !Ref Names]", "a");
    check("!Select ['1', [a, !Ref Stage]]", "local");
    check("!Select [!If [IsLocal, 1, 0], !Split ['::', 'a::b:c']]", "b:c");
    check("{'Fn::Select': [0, {'Fn::Split': [x, {'Fn::Join': [x, [a, b]]}]}]}", "a");
    check("!If [HasNames, some, none]", "some");
    check("!If [HasNoNames, some, none]", "none");
    check("!If [ThirdIsC, c, other]", "c");
    check("!If [FourthIsNone, none, other]", "none");
    check("!If [IsLocal, here, !Ref Secret]", "here");

    assert_eq!(variable("!Ref AWS::NoValue").unwrap(), None);
    assert_eq!(variable("!If [IsRemote, there, !Ref AWS::NoValue]").unwrap(), None);
}

#[test]
fn errors_name_the_resource_the_property_and_the_reason() {
    #[track_caller]
    fn check(value: &str, property: &str, reason: &str) {
        let error = variable(value).unwrap_err();
        assert_eq!(error.to_string(), format!("template resource `F`: cannot read `{property}`"));
        assert_eq!(error.source().unwrap().to_string(), reason);
    }

    let variables = "Properties.Environment.Variables.V";
    check("!Ref Nowhere", variables, "`Nowhere` is neither a parameter nor a resource with a name");
    check("!Ref Role", variables, "`Role` is neither a parameter nor a resource with a name");
    check("!Ref Open", variables, "parameter `Open` has no default and no value was given");
    let in_ssm = |name| {
        format!(
            "parameter `{name}` stands for a value in SSM that is not known without a deployment"
        )
    };
    check("!Ref Secret", variables, &in_ssm("Secret"));
    check("!Sub '${Secret}'", variables, &in_ssm("Secret"));
    check("!Join [',', !Ref Subnets]", variables, &in_ssm("Subnets"));
    check("!If [OfSsm, a, b]", variables, &in_ssm("Subnets"));
    check("!Ref Names", variables, "expected a text, a number or a boolean");
    check("!Sub '${Names}'", variables, "expected a text, a number or a boolean");
    check("!If [OfLists, a, b]", variables, "expected a text, a number or a boolean");
    check("!Join [',', a]", variables, "the arguments of `Join` are not what it takes");
    check("!Join [',', [[a]]]", variables, "expected a text, a number or a boolean");
    check("!Select [3, !Ref Names]", variables, "the arguments of `Select` are not what it takes");
    check("!Select [-1, !Ref Names]", variables, "the arguments of `Select` are not what it takes");
    check("!Split [a]", variables, "the arguments of `Split` are not what it takes");
    check(
        "!GetAtt T.StreamArn",
        variables,
        "attribute `StreamArn` of resource `T` is not known without a deployment",
    );
    check("!ImportValue x", variables, "the function `ImportValue` is not supported here");
    check("!Sub '${Stage'", variables, "the arguments of `Sub` are not what it takes");
    check("!If [Unknown, a, b]", variables, "there is no condition `Unknown`");
    check("!If [Circle, a, b]", variables, "references go in a circle");
    check("[a, b]", variables, "expected a text, a number or a boolean");
}

#[test]
fn broken_templates_are_refused() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = Template::parse(text, &[("Stage", "local")]).unwrap_err();
        let reason = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        assert_eq!(format!("{error}{reason}"), expected);
    }

    const PARAMETERS: &str = "Parameters: {Stage: {Type: String}}\nResources: ";
    check("[]", "the template is not a YAML mapping");
    check("Resources: {}", "the template has no parameter `Stage`");
    check(
        &format!("{PARAMETERS}{{T: {{Type: AWS::DynamoDB::Table, Properties: {{}}}}}}"),
        "template resource `T`: cannot read `Properties.TableName`: it is missing",
    );
    check(
        &format!(
            "{PARAMETERS}{{T: {{Type: AWS::DynamoDB::Table, Properties: {{TableName: !Ref T}}}}}}"
        ),
        "template resource `T`: cannot read `Properties.TableName`: references go in a circle",
    );
    check(
        &format!(
            "{PARAMETERS}{{T: {{Type: AWS::DynamoDB::Table, Properties: {{TableName: t, KeySchema: [{{}}]}}}}}}"
        ),
        "template resource `T`: cannot read `Properties.KeySchema`: it has the wrong structure",
    );
    check(
        &format!(
            "{PARAMETERS}{{F: {{Type: AWS::Serverless::Function, Properties: {{FunctionName: f, CodeUri: .}}}}}}"
        ),
        "template resource `F`: cannot read `Metadata.BuildProperties.Binary`: it is missing",
    );
}

#[test]
fn the_template_is_found_from_below() {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = crate_directory.ancestors().nth(2).unwrap();
    assert_eq!(Template::find(crate_directory).unwrap(), workspace.join("template.yaml"));

    let error = Template::find(Path::new("/")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no `template.yaml` in `/` or any directory above it: start in the workspace or name the file"
    );
}

#[test]
fn alarms_are_of_what_is_there() {
    #[track_caller]
    fn check(parameters: &[(&str, &str)], expected: &[&str]) {
        let names = |parameters| Template::parse(WORKSPACE_TEMPLATE, parameters).unwrap().alarms;
        let (all, found) = (names(&[]), names(parameters));
        let missing = all.iter().filter(|it| !found.contains(it));
        let missing: Vec<_> =
            missing.map(|it| it.strip_prefix("compare-connector-default-").unwrap()).collect();
        assert_eq!(missing, expected);
    }

    check(&[], &[]);
    check(&[("Monitoring", "alarms")], &[]);
    check(&[("SeatoolEnabled", "false")], &["sinkSeatoolData-silent"]);
    check(&[("AppianEnabled", "absent")], &["sinkAppianData-silent", "sinkAppianData-dropped"]);
    let none = Template::parse(WORKSPACE_TEMPLATE, &[("Monitoring", "none")]).unwrap();
    assert_eq!(none.alarms, [] as [&str; 0]);
}

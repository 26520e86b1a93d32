//! Values that look like those of the two topics, of invented data.

use fastrand::Rng;

use super::workload::Kind;
use Column::{Amount, Changed, Code, Count, Date, Flag, Id, Label, MaybeDate, Null, Text, Version};

/// Where a value stands in its workload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The number of its key.
    pub(super) key: usize,
    /// How often the row was changed before.
    pub(super) version: usize,
    /// When it was changed, in milliseconds since 1970.
    pub(super) time: u64,
    /// Whether Kafka Connect's `schema` stands beside the payload.
    pub(super) schema: bool,
}

const STATES: [&str; 8] = ["MD", "NC", "VT", "OH", "TX", "WA", "ME", "GA"];
const WORDS: [&str; 16] = [
    "state",
    "plan",
    "amendment",
    "payment",
    "rate",
    "section",
    "revises",
    "the",
    "of",
    "for",
    "pharmacy",
    "waiver",
    "coverage",
    "services",
    "quarter",
    "\u{201c}effective\u{201d}",
];

/// What a column holds.
#[derive(Clone, Copy)]
enum Column {
    Id,
    Label,
    Code,
    Text(usize),
    Date,
    MaybeDate,
    Changed,
    Count,
    Amount,
    Flag,
    Null,
    Version,
}

#[rustfmt::skip]
const APPIAN: [(&str, Column); 50] = [
    ("PCKG_ID", Id), ("SPA_ID", Label), ("SPA_PCKG_ID", Label), ("STATE_CD", Code), ("REGION_ID", Count),
    ("PCKG_TYP_CD", Code), ("PCKG_STUS_CD", Code), ("PRVS_STUS_CD", Null), ("SBMSN_TYP_CD", Code),
    ("SBMSN_DT", Date), ("INTL_SBMSN_DT", Date), ("PRPSD_EFCTV_DT", Date), ("APRVD_EFCTV_DT", MaybeDate),
    ("CLCK_STRT_DT", Date), ("CLCK_STOP_DT", MaybeDate), ("CLCK_EXTND_DT", Null), ("NNTY_DAY_DT", Date),
    ("RAI_RQST_DT", MaybeDate), ("RAI_RSPNS_DT", MaybeDate), ("RAI_WTHDRWL_DT", Null), ("FNL_DCSN_CD", Null),
    ("FNL_DCSN_DT", Null), ("DSPSTN_CD", Null), ("LEAD_ANLYST_ID", Count), ("SRT_MBR_CNT", Count),
    ("PRTY_CD", Code), ("PRTY_CMPLXTY_CD", Code), ("TITLE_TXT", Text(40)), ("SUBJ_TXT", Text(80)),
    ("SMRY_DESC_TXT", Text(300)), ("ATHRTY_CD", Code), ("TMPL_VRSN_NUM", Version), ("BNFT_PLAN_IND", Flag),
    ("MACPRO_IND", Flag), ("FDRL_FSCL_YR_1", Count), ("FDRL_FSCL_YR_1_AMT", Amount), ("FDRL_FSCL_YR_2", Count),
    ("FDRL_FSCL_YR_2_AMT", Amount), ("TRBL_CNSLTN_IND", Flag), ("PBLC_NTC_IND", Flag), ("PBLC_NTC_DT", Date),
    ("FAIR_HRNG_IND", Flag), ("ATCHMT_CNT", Count), ("ACTV_IND", Flag), ("DLTD_FLAG", Code),
    ("CRTD_BY_ID", Label), ("CRTD_TS", Date), ("UPDT_TS", Changed), ("ROW_VRSN_NUM", Version),
    ("REPLICA_TIMESTAMP", Changed),
];

const SMALL: [(&str, Column); 8] = [
    ("PCKG_ID", Id),
    ("SPA_ID", Label),
    ("STATE_CD", Code),
    ("PCKG_STUS_CD", Code),
    ("TITLE_TXT", Text(30)),
    ("UPDT_TS", Changed),
    ("ROW_VRSN_NUM", Version),
    ("REPLICA_TIMESTAMP", Changed),
];

#[rustfmt::skip]
const STATE_PLAN: [(&str, Column); 24] = [
    ("ID_NUMBER", Label), ("STATE_CODE", Code), ("REGION_ID", Code), ("PLAN_TYPE", Count),
    ("TITLE_NAME", Text(120)), ("SUMMARY_MEMO", Text(700)), ("SUBMISSION_DATE", Date), ("PROPOSED_DATE", Date),
    ("EFFECTIVE_DATE", MaybeDate), ("APPROVED_DATE", MaybeDate), ("STATUS_DATE", Date), ("CHANGED_DATE", Changed),
    ("ALERT_90_DAYS_DATE", Date), ("SPW_STATUS_ID", Count), ("LEAD_ANALYST_ID", Count), ("CODE_ID", Count),
    ("BUDGET_NEUTRALITY_ESTABLISHED_FLAG", Flag), ("FEDERAL_IMPACT_1", Amount), ("FEDERAL_IMPACT_2", Amount),
    ("COMPANION_LETTER_FLAG", Flag), ("REMARKS_MEMO", Text(250)), ("UUID", Text(32)), ("REPLICATED", Changed),
    ("ROW_VERSION", Version),
];

const SERVICE: [(&str, Column); 4] = [
    ("ID_NUMBER", Label),
    ("SERVICE_TYPE_ID", Count),
    ("SERVICE_TYPE_NAME", Text(30)),
    ("CHANGED_DATE", Changed),
];

const REQUEST: [(&str, Column); 5] = [
    ("ID_NUMBER", Label),
    ("RAI_REQUESTED_DATE", Date),
    ("RAI_RECEIVED_DATE", MaybeDate),
    ("RAI_WITHDRAWN_DATE", MaybeDate),
    ("REMARKS", Text(60)),
];

const OFFICER: [(&str, Column); 5] = [
    ("OFFICER_ID", Count),
    ("FIRST_NAME", Text(8)),
    ("LAST_NAME", Text(12)),
    ("EMAIL", Text(20)),
    ("TELEPHONE", Count),
];

const NAMED: [(&str, Column); 2] = [("ID", Count), ("NAME", Text(20))];

/// The JSON of a record's key, if it has one, and of its value.
pub(super) fn key_and_value(kind: Kind, row: &Row, rng: &mut Rng) -> (Option<String>, String) {
    match kind {
        Kind::Appian => (None, payload(&APPIAN, row, rng)),
        Kind::Small => (None, payload(&SMALL, row, rng)),
        Kind::Seatool => (Some(format!("\"{}\"", label(row))), seatool(row, rng)),
    }
}

/// A nested object of nine members.
fn seatool(row: &Row, rng: &mut Rng) -> String {
    let mut list = |name: &str, columns: &[(&str, Column)], length: usize| {
        let objects: Vec<_> = (0..length).map(|_| object(columns, row, rng)).collect();
        format!("\"{name}\":[{}]", objects.join(","))
    };
    let members = [
        list("STATES", &NAMED, 1),
        list("PLAN_TYPES", &NAMED, 1),
        list("SPW_STATUS", &NAMED, 1),
        list("ACTIONTYPES", &NAMED, 2),
        list("STATE_PLAN_SERVICETYPES", &SERVICE, 8),
        list("RAI", &REQUEST, 3),
        list("ACTION_OFFICERS", &OFFICER, 3),
        "\"COMPONENTS\":[\"Payment\",\"Benefits\",\"Eligibility\"]".to_owned(),
    ];
    format!("{{\"STATE_PLAN\":{},{}}}", object(&STATE_PLAN, row, rng), members.join(","))
}

/// What Kafka Connect's JSON converter makes of a row, with or without the description of its types.
fn payload(columns: &[(&str, Column)], row: &Row, rng: &mut Rng) -> String {
    let payload = object(columns, row, rng);
    if !row.schema {
        return format!("{{\"payload\":{payload}}}");
    }
    let fields: Vec<_> = columns.iter().map(|&(name, column)| field(name, column)).collect();
    format!(
        "{{\"schema\":{{\"type\":\"struct\",\"fields\":[{}],\"optional\":false,\"name\":\"MCP_SPA_PCKG\"}},\"payload\":{payload}}}",
        fields.join(",")
    )
}

fn field(name: &str, column: Column) -> String {
    let connect_type = match column {
        Id | Count | Version => "\"type\":\"int32\"",
        Date | MaybeDate | Changed => {
            "\"type\":\"int64\",\"name\":\"org.apache.kafka.connect.data.Timestamp\",\"version\":1"
        }
        Amount => "\"type\":\"double\"",
        Flag => "\"type\":\"boolean\"",
        Label | Code | Text(_) | Null => "\"type\":\"string\"",
    };
    format!("{{{connect_type},\"optional\":true,\"field\":\"{name}\"}}")
}

fn object(columns: &[(&str, Column)], row: &Row, rng: &mut Rng) -> String {
    let members: Vec<_> = columns
        .iter()
        .map(|&(name, column)| format!("\"{name}\":{}", value(column, row, rng)))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn value(column: Column, row: &Row, rng: &mut Rng) -> String {
    // Days before the year of the workload.
    let day = |rng: &mut Rng| (1_700_000_000_000 + rng.u64(0..800) * 86_400_000).to_string();
    match column {
        Id => (10_000 + row.key).to_string(),
        Label => format!("\"{}\"", label(row)),
        Code => format!("\"{}\"", STATES[rng.usize(0..STATES.len())]),
        Text(length) => text(length, rng),
        Date => day(rng),
        MaybeDate => {
            let day = day(rng);
            if rng.bool() { day } else { "null".to_owned() }
        }
        Changed => row.time.to_string(),
        Count => rng.u32(1..4000).to_string(),
        Amount => format!("{}.{:02}", rng.u32(1000..9_000_000), rng.u32(0..100)),
        Flag => rng.bool().to_string(),
        Null => "null".to_owned(),
        Version => (row.version + 1).to_string(),
    }
}

fn label(row: &Row) -> String {
    format!("{}-26-{:07}", STATES[row.key % STATES.len()], row.key)
}

/// Words of about that many characters, with an escape at the end of each third one.
fn text(length: usize, rng: &mut Rng) -> String {
    let mut text = "\"".to_owned();
    while text.len() < length {
        text.push_str(WORDS[rng.usize(0..WORDS.len())]);
        text.push_str(if rng.u8(0..20) == 0 { "\\n" } else { " " });
    }
    text.push('"');
    text
}

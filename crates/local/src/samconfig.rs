//! What a stage is deployed with: `samconfig.toml` beside the template.

use std::{collections::BTreeMap, fs, io, path::Path};

use anyhow::{Context as _, bail, ensure};
use toml::{Table, Value};

use crate::template::{LOCAL_STAGE, Template};

/// The file that says what each stage is deployed with.
const FILE_NAME: &str = "samconfig.toml";

/// The template's parameter that holds the stage.
const STAGE: &str = "Stage";

/// The template's parameter that all names begin with.
const PREFIX: &str = "Prefix";

/// Reads the template as `sam deploy` does for a stage, or for the local one; `given` wins over what the file says.
///
/// A stage is the section of its name, or else the one that sets `Stage` to it; without either, its prefix must be
/// given. What the file does not say has the template's default, but for the stage's name. For the local one the file
/// says nothing.
pub fn template(
    template: &Path,
    stage: Option<&str>,
    given: &[(String, String)],
) -> anyhow::Result<Template> {
    let mut deployed = Vec::new();
    if let Some(stage) = stage {
        match of_file(&template.with_file_name(FILE_NAME), stage)? {
            Some(found) => deployed = found,
            // The template's default may be another deployment's.
            None => ensure!(
                given.iter().any(|(name, _)| name == PREFIX),
                "`{FILE_NAME}` beside the template has no stage `{stage}`: add what it was deployed with, or give it \
                 with `--parameter {PREFIX}=…` and others that name something"
            ),
        }
    }
    // The last one counts.
    let mut parameters = BTreeMap::from([(STAGE, stage.unwrap_or(LOCAL_STAGE))]);
    parameters
        .extend(deployed.iter().chain(given).map(|(name, value)| (name.as_str(), value.as_str())));
    Template::read(template, &parameters.into_iter().collect::<Vec<_>>())
}

fn of_file(path: &Path, stage: &str) -> anyhow::Result<Option<Vec<(String, String)>>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            of_stage(&text, stage).with_context(|| format!("`{}` cannot be used", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

fn of_stage(text: &str, stage: &str) -> anyhow::Result<Option<Vec<(String, String)>>> {
    let sections: Table = text.parse().context("it is not TOML")?;
    if let Some(section) = sections.get(stage) {
        return overrides(stage, section).map(Some);
    }
    let mut found = Vec::new();
    for (name, section) in &sections {
        let overrides = overrides(name, section)?;
        if overrides.iter().any(|(name, value)| name == STAGE && value == stage) {
            found.push((format!("`{name}`"), overrides));
        }
    }
    if found.len() > 1 {
        let sections: Vec<_> = found.into_iter().map(|(name, _)| name).collect();
        bail!("the sections {} all set {STAGE}={stage}: name one of them", sections.join(", "));
    }
    Ok(found.pop().map(|(_, overrides)| overrides))
}

/// The parameters that a section gives: the command's own, or else those of all commands.
fn overrides(section_name: &str, section: &Value) -> anyhow::Result<Vec<(String, String)>> {
    let of = |command| section.get(command)?.get("parameters")?.get("parameter_overrides");
    let malformed = |found: &str| {
        format!(
            "`parameter_overrides` of the section `{section_name}`: expected Name=Value, found `{found}`"
        )
    };
    let texts = match of("deploy").or_else(|| of("global")) {
        None => &[],
        Some(Value::Array(texts)) => texts.as_slice(),
        Some(text) => std::slice::from_ref(text),
    };
    let mut overrides = Vec::new();
    for text in texts {
        let text = text.as_str().with_context(|| malformed(text.type_str()))?;
        // Each may hold several.
        for word in words(text).with_context(|| malformed(text))? {
            let (name, value) = word.split_once('=').with_context(|| malformed(&word))?;
            overrides.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(overrides)
}

/// The words between spaces, without the quotes and backslashes around and before what is part of a word; `None` if a
/// quote has no end.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\\', _) => word.get_or_insert_default().push(characters.next()?),
            ('"' | '\'', None) => quote = Some(character),
            (_, Some(opening)) if character == opening => quote = None,
            (' ', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_what_its_section_gives() {
        #[track_caller]
        fn check(overrides: &str, expected: &[(&str, &str)]) {
            let text = format!("version = 0.1\n[val.global.parameters]\n{overrides}");
            let parameters = of_stage(&text, "val").unwrap().unwrap();
            let parameters: Vec<_> =
                parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(parameters, expected);
        }

        let two = [("Stage", "val"), ("Prefix", "a-b")];
        check(r#"parameter_overrides = ["Stage=val", "Prefix=a-b"]"#, &two);
        check(r#"parameter_overrides = "Stage=val Prefix=a-b""#, &two);
        // So SAM writes it.
        check(r#"parameter_overrides = "Stage=\"val\" Prefix=\"a-b\"""#, &two);
        check(r#"parameter_overrides = ["Stage=val Prefix='a-b'"]"#, &two);
        check(
            r#"parameter_overrides = "A=\"b \\\"c\\\" d=e\" F= G=h=i""#,
            &[("A", "b \"c\" d=e"), ("F", ""), ("G", "h=i")],
        );
        check(r#"parameter_overrides = """#, &[]);
        check(r#"region = "us-east-1""#, &[]);
        let of_deploy = "[val.deploy.parameters]\nparameter_overrides = \"Prefix=deployed\"";
        check(of_deploy, &[("Prefix", "deployed")]);
        check(
            &format!("parameter_overrides = \"Stage=val\"\n{of_deploy}"),
            &[("Prefix", "deployed")],
        );
    }

    #[test]
    fn a_section_is_found_by_its_name_or_else_by_its_stage() {
        #[track_caller]
        fn check(stage: &str, expected: &str) {
            let section = |(name, stage): (&str, &str)| {
                format!(
                    "[{name}.global.parameters]\nparameter_overrides = \"Stage={stage} Prefix={name}\"\n"
                )
            };
            let sections = [("val", "other"), ("mine", "alice"), ("ours", "us"), ("theirs", "us")]
                .map(section);
            let found = match of_stage(&sections.concat(), stage) {
                Ok(None) => "unknown".to_owned(),
                Ok(Some(parameters)) => {
                    let parameters =
                        parameters.iter().map(|(name, value)| format!("{name}={value}"));
                    parameters.collect::<Vec<_>>().join(" ")
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected);
        }

        check("val", "Stage=other Prefix=val");
        check("other", "Stage=other Prefix=val");
        check("mine", "Stage=alice Prefix=mine");
        check("alice", "Stage=alice Prefix=mine");
        check("production", "unknown");
        check("us", "the sections `ours`, `theirs` all set Stage=us: name one of them");
    }

    #[test]
    fn what_sam_would_not_take_is_an_error() {
        #[track_caller]
        fn check(overrides: &str, found: &str) {
            let text = format!("[val.deploy.parameters]\nparameter_overrides = {overrides}");
            let expected = format!(
                "`parameter_overrides` of the section `val`: expected Name=Value, found `{found}`"
            );
            assert_eq!(of_stage(&text, "val").unwrap_err().to_string(), expected);
            // It may be the one that is looked for.
            assert_eq!(of_stage(&text, "other").unwrap_err().to_string(), expected);
        }

        check("7", "integer");
        check("[\"Stage=val\", true]", "boolean");
        check("\"Stage=val Prefix\"", "Prefix");
        check("'Stage=val Prefix=\"a'", "Stage=val Prefix=\"a");
        assert_eq!(of_stage("[val", "val").unwrap_err().to_string(), "it is not TOML");
    }
}

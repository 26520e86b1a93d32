//! The functions' programs: built with the workspace's Cargo, or found where `sam build` left them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::template::Function;

/// The name that Lambda expects a custom runtime's program to have.
const BOOTSTRAP: &str = "bootstrap";

/// Where the functions' programs come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Programs {
    Cargo(Profile),
    /// `sam build` left them in this directory, as they are deployed.
    SamBuild(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Dev,
    /// As they are deployed.
    Release,
}

impl Programs {
    /// The programs of these functions of the workspace at `root`, by the names of their binaries.
    pub fn find(
        &self,
        root: &Path,
        functions: &[Function],
    ) -> anyhow::Result<BTreeMap<String, PathBuf>> {
        match self {
            Self::Cargo(profile) => {
                let binaries: Vec<_> = functions.iter().map(|it| it.binary.as_str()).collect();
                build(root, &binaries, *profile)
            }
            // One for each function, in a directory of the function's logical id.
            Self::SamBuild(directory) => {
                let program = |function: &Function| {
                    let path = directory.join(&function.logical_id).join(BOOTSTRAP);
                    let shown = path.display();
                    ensure!(path.is_file(), "there is no file `{shown}`: `sam build` makes it");
                    Ok((function.binary.clone(), path))
                };
                functions.iter().map(program).collect()
            }
        }
    }
}

/// Builds these binaries of the workspace at `root` and returns their programs by name.
///
/// They are chosen by name from the whole workspace, as SAM's builder does, so features are unified as in a deployment.
pub fn build(
    root: &Path,
    binaries: &[&str],
    profile: Profile,
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let cargo = cargo();
    let mut command = Command::new(&cargo);
    command.arg("build").arg("--manifest-path").arg(root.join("Cargo.toml"));
    command.arg("--message-format=json-render-diagnostics");
    if profile == Profile::Release {
        command.arg("--release");
    }
    for binary in binaries {
        command.args(["--bin", binary]);
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| {
        format!(
            "cannot start `{cargo}`: install Rust, or name what `sam build` left with `--build-dir`"
        )
    })?;
    let status = output.status;
    ensure!(
        status.success(),
        "cargo could not build the functions ({status}): what it printed above says why"
    );
    let executables = executables(&String::from_utf8_lossy(&output.stdout));
    for binary in binaries {
        ensure!(executables.contains_key(*binary), "cargo built no binary `{binary}`");
    }
    Ok(executables)
}

/// The Cargo that runs this program, so that both use one toolchain, else the usual one.
pub fn cargo() -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "Cargo's own variable is no setting of the functions"
    )]
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// The programs that Cargo's messages, one JSON object a line, say were built or are up to date.
fn executables(messages: &str) -> BTreeMap<String, PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        target: Target,
        executable: PathBuf,
    }

    #[derive(Deserialize)]
    struct Target {
        name: String,
    }

    // Messages of other kinds lack these members or have `null` there.
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    messages.map(|message| (message.target.name, message.executable)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::template::Template;

    #[test]
    fn executables_are_found_in_cargos_messages() {
        #[track_caller]
        fn check(messages: &str, expected: &[(&str, &str)]) {
            let found = executables(messages);
            let found: Vec<_> =
                found.iter().map(|(name, path)| (name.as_str(), path.to_str().unwrap())).collect();
            assert_eq!(found, expected);
        }

        check("", &[]);
        check(r#"{"reason":"build-finished","success":true}"#, &[]);
        check(
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"l"},"executable":null}"#,
            &[],
        );
        check("some line that a build script let slip\n", &[]);
        check(
            concat!(
                r#"{"reason":"compiler-message","target":{"name":"b"},"message":{}}"#,
                "\n",
                r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"b"},"executable":"t/debug/b","fresh":true}"#,
                "\n",
                r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"a"},"executable":"t/debug/a","fresh":false}"#,
                "\n",
            ),
            &[("a", "t/debug/a"), ("b", "t/debug/b")],
        );
    }

    #[test]
    fn what_sam_build_left_is_found_by_logical_ids() {
        let template = include_str!("../../../template.yaml");
        let mut functions = Template::parse(template, &[]).unwrap().functions;
        functions.retain(|it| ["sinkAppianData", "sinkSeatoolData"].contains(&it.binary.as_str()));
        let directory =
            std::env::temp_dir().join(format!("local-sam-build-{}", std::process::id()));
        let programs = ["SinkAppianDataFunction", "SinkSeatoolDataFunction"]
            .map(|logical_id| directory.join(logical_id).join("bootstrap"));
        let source = Programs::SamBuild(directory.clone());
        let find = || source.find(Path::new("no-such-workspace"), &functions);

        for program in &programs {
            let error = find().unwrap_err();
            let expected =
                format!("there is no file `{}`: `sam build` makes it", program.display());
            assert_eq!(error.to_string(), expected);
            fs::create_dir_all(program.parent().unwrap()).unwrap();
            // A directory is no program.
            assert_eq!(find().unwrap_err().to_string(), expected);
            fs::write(program, "").unwrap();
        }
        let found = find().unwrap();
        fs::remove_dir_all(directory).unwrap();
        let binaries = ["sinkAppianData".to_owned(), "sinkSeatoolData".to_owned()];
        assert_eq!(found, binaries.into_iter().zip(programs).collect());
    }

    #[test]
    fn a_workspace_without_the_binary_is_an_error() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("no-such-workspace");
        let error = build(&root, &["f"], Profile::Dev).unwrap_err();
        let expected = "cargo could not build the functions (exit status: 101): what it printed above says why";
        assert_eq!(error.to_string(), expected);
    }
}

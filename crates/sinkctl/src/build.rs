//! Builds the functions' binaries with the workspace's Cargo.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use serde::Deserialize;

/// How the binaries are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Fast to build.
    Dev,
    /// As they are deployed.
    Release,
}

/// Why there are no binaries.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Occurs when Cargo cannot be started.
    #[error("cannot start `{cargo}`")]
    Cargo {
        /// The program.
        cargo: String,
        /// What the system said.
        source: io::Error,
    },
    /// Occurs when Cargo fails; it has said why on standard error.
    #[error("cargo could not build the functions: {status}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
    },
    /// Occurs when Cargo succeeds without telling where a binary is.
    #[error("cargo built no binary `{binary}`")]
    NoBinary {
        /// The binary's name.
        binary: String,
    },
}

/// Builds these binaries of the workspace at `root` and returns their programs by name.
///
/// They are chosen by name from the whole workspace, as SAM's builder does, so features are unified as in a deployment.
pub fn build(
    root: &Path,
    binaries: &[&str],
    profile: Profile,
) -> Result<BTreeMap<String, PathBuf>, BuildError> {
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
    let output = output.map_err(|source| BuildError::Cargo { cargo, source })?;
    if !output.status.success() {
        return Err(BuildError::Failed { status: output.status });
    }
    let executables = executables(&String::from_utf8_lossy(&output.stdout));
    match binaries.iter().find(|binary| !executables.contains_key(**binary)) {
        Some(binary) => Err(BuildError::NoBinary { binary: (*binary).to_owned() }),
        None => Ok(executables),
    }
}

/// The Cargo that runs this program, so that both use one toolchain, else the usual one.
fn cargo() -> String {
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
    use super::*;

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
    fn a_workspace_without_the_binary_is_an_error() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("no-such-workspace");
        let error = build(&root, &["f"], Profile::Dev).unwrap_err();
        assert_eq!(error.to_string(), "cargo could not build the functions: exit status: 101");
    }
}

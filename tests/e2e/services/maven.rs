//! Fetches Java programs with all that they need.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A program's or library's coordinates: group, artifact, version.
pub(crate) type Artifact = (&'static str, &'static str, &'static str);

/// Whether both programs are there, and if not which one is missing.
pub(crate) fn missing_program() -> Option<&'static str> {
    ["java", "mvn"].into_iter().find(|program| {
        let version = if *program == "java" { "-version" } else { "--version" };
        let output = Command::new(program).arg(version).stdin(Stdio::null()).output();
        !output.is_ok_and(|output| output.status.success())
    })
}

/// The directory with these artifacts and all that they depend on; they are fetched where it is not complete.
pub(crate) fn fetch(directory: &Path, artifacts: &[Artifact]) -> PathBuf {
    let jars = directory.join("jars");
    let pom = pom(artifacts);
    // Written last, so that what it describes is complete.
    let complete = directory.join("complete.xml");
    if fs::read_to_string(&complete).is_ok_and(|it| it == pom) {
        return jars;
    }
    if jars.exists() {
        fs::remove_dir_all(&jars).unwrap();
    }
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("pom.xml"), &pom).unwrap();
    let output = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "Maven cannot fetch {artifacts:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    fs::write(complete, pom).unwrap();
    jars
}

fn pom(artifacts: &[Artifact]) -> String {
    let mut dependencies = String::new();
    for (group, artifact, version) in artifacts {
        write!(
            dependencies,
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
        .unwrap();
    }
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>e2e</groupId><artifactId>services</artifactId><version>1</version>\
         <packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>"
    )
}

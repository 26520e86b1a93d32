//! What several commands have in common on the command line.

use std::path::PathBuf;

use local::build::{Profile, Programs};

/// What `--stage` means, wherever a deployed one is looked up.
pub const STAGE: &str = "The deployed stage: the section of this name in `samconfig.toml` beside the template, or \
                                else the one that sets `Stage` to it; its `parameter_overrides` hold. What they don't set \
                                has the template's default, but for `Stage`, which then is this name. Without a section \
                                give its `Prefix`";

/// What `--parameter` means there.
pub const PARAMETER: &str = "A parameter of the template, such as `Prefix=compare-sinks`, that wins over \
                                    `samconfig.toml`; may be repeated";

/// Built as they are deployed or for development, unless `sam build` left them somewhere.
pub fn programs(release: bool, build_dir: Option<PathBuf>) -> Programs {
    let profile = if release { Profile::Release } else { Profile::Dev };
    build_dir.map_or(Programs::Cargo(profile), Programs::SamBuild)
}

pub fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected a name, `=` and a value".to_owned()),
    }
}

pub fn url(text: &str) -> Result<String, String> {
    let is_url = (text.starts_with("http://") || text.starts_with("https://"))
        && text.parse::<axum::http::Uri>().is_ok_and(|url| url.host().is_some());
    if is_url { Ok(text.to_owned()) } else { Err("expected `http://` and a host".to_owned()) }
}

pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number >= 1 => Ok(number),
        _ => Err("expected a whole number from 1".to_owned()),
    }
}

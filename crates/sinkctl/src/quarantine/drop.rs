//! Removes entries whose records nobody wants, once a copy of them is in a file.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufWriter, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use local::template::LOCAL_STAGE;
use serde_json::Value;

use super::{
    DRY_RUN_LIMIT, LEFT, Place,
    filter::Selection,
    list::Listing,
    none_found,
    store::{Listed, Removal, Store},
};
use crate::{
    item_json,
    text::{self, counted},
};

pub const EXAMPLES: &str = "\
Examples:
  sinkctl quarantine drop aws.ksqldb.seatool.agg.State_Plan-4 1234 --stage master
  sinkctl quarantine drop --reason NULL_VALUE --older-than 30d --copy dropped.jsonl --yes --stage master

Each line of the copy is an item of the table in DynamoDB's JSON, as PutItem takes it; put back in their order, they
are what they were.

Exit status: 0 when all were dropped, 1 when some were left or nothing was dropped, 2 when it could not be done.";

#[derive(Args, Clone, Debug)]
pub struct Drop {
    /// Drop everything.
    #[arg(long)]
    all: bool,
    /// The new file for the copy [default: `quarantine-STAGE-TIME.jsonl` here].
    #[arg(long, value_name = "FILE")]
    copy: Option<PathBuf>,
    /// Don't ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    chosen: Selection,
    #[command(flatten)]
    place: Place,
}

impl Drop {
    pub async fn run(self, template: &Path) -> anyhow::Result<ExitCode> {
        let filter = self.chosen.filter();
        ensure!(
            filter.is_empty() == self.all,
            "name the records to drop, by a filter or their coordinates, or drop `--all`"
        );
        let (_, store) = self.place.open(template).await?;
        let now = text::now().cast_signed();
        let found = store.find(&filter, now).await?;
        if found.entries.is_empty() {
            return none_found(&store);
        }
        let records = counted(found.entries.len(), "record");
        if !self.yes {
            Listing::new(&store.table, found.clone(), DRY_RUN_LIMIT, now)
                .write(now, &mut io::stderr())?;
            ensure!(
                io::stdin().is_terminal(),
                "nothing was dropped: there is no terminal to ask on, and no `--yes`"
            );
            write!(io::stderr(), "\nDrop {records} for good? Type yes: ")?;
            let mut answer = String::new();
            io::stdin().read_line(&mut answer)?;
            if answer.trim() != "yes" {
                writeln!(io::stderr(), "nothing was dropped")?;
                return Ok(ExitCode::from(LEFT));
            }
        }
        let copy = self.copy.unwrap_or_else(|| {
            let stage = self.place.stage.as_deref().unwrap_or(LOCAL_STAGE);
            format!("quarantine-{stage}-{now}.jsonl").into()
        });
        let removals = run(&store, found.entries, &copy).await?;
        let count = |removal| removals.get(&removal).copied().unwrap_or_default();
        let mut out = io::stdout();
        let dropped = count(Removal::Removed);
        writeln!(out, "{dropped} of {records} dropped; {} has them", copy.display())?;
        let (were_gone, left) = (count(Removal::WasGone), count(Removal::RejectedAgain));
        if were_gone > 0 {
            writeln!(out, "{were_gone} already gone")?;
        }
        if left > 0 {
            writeln!(out, "{left} left: they were rejected again meanwhile")?;
            return Ok(ExitCode::from(LEFT));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Copies entries to a file that does not exist yet, then removes them.
///
/// A line of the file is an item as it stood in the table, in DynamoDB's JSON; an entry's head comes after its parts,
/// so that whoever puts the items back in their order never has a head without them.
async fn run(
    store: &Store,
    entries: Vec<Listed>,
    path: &Path,
) -> anyhow::Result<BTreeMap<Removal, usize>> {
    let of_copy = || {
        let path = path.display();
        format!(
            "cannot write the copy `{path}`, so nothing was dropped: name another file with `--copy`"
        )
    };
    let mut removals = BTreeMap::new();
    let mut copied = Vec::new();
    let mut copy = BufWriter::new(create(path).with_context(of_copy)?);
    for Listed { head, .. } in entries {
        let Some(mut entry) = store.read(&head.key).await? else {
            *removals.entry(Removal::WasGone).or_default() += 1;
            continue;
        };
        // What was written is forgotten but for what the removal needs.
        entry.record = None;
        for item in &mut entry.items {
            writeln!(copy, "{}", Value::from(item_json::members(item))).with_context(of_copy)?;
            item.retain(|name, _| name == "SK");
        }
        copied.push(entry);
    }
    keep(copy, path).with_context(of_copy)?;
    let records = copied.len();
    for entry in copied {
        let removal = store.remove(&entry).await.with_context(|| {
            let dropped = removals.get(&Removal::Removed).copied().unwrap_or_default();
            let path = path.display();
            format!("{dropped} of {records} records were dropped, and `{path}` has a copy of all of them")
        })?;
        *removals.entry(removal).or_default() += 1;
    }
    Ok(removals)
}

/// A new file that nobody else may read.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Waits until the file and its name would outlive a power cut.
fn keep(copy: BufWriter<File>, path: &Path) -> io::Result<()> {
    copy.into_inner()?.sync_all()?;
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_copy_overwrites_nothing_and_is_for_its_owner() {
        let path = std::env::temp_dir().join(format!("sinkctl-copy-{}", std::process::id()));
        let file = create(&path).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        keep(BufWriter::new(file), &path).unwrap();
        assert_eq!(create(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        fs::remove_file(path).unwrap();
    }
}

//! `farpane audit`: checking an audit log.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::audit::chain::{self, Hash};

#[derive(Args, Debug)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Check that no line of an audit log was changed, removed or moved; takes rotated files (FILE.1, FILE.2 …) along
    Verify {
        /// The log
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// A hash that an earlier check printed; it must still be in the log
        #[arg(long, value_name = "HASH")]
        seen: Option<Hash>,
    },
}

/// Does what was asked; returns what is to be printed.
pub(super) fn run(args: &AuditArgs) -> anyhow::Result<String> {
    let What::Verify { file, seen } = &args.what;
    let checked = chain::verify(file, *seen)?;
    let (events, files, last) = (checked.events, checked.files.len(), checked.last);
    let begins = if checked.from_start { "from the beginning" } else { "older files are gone" };
    Ok(format!("whole: {events} events in {files} files, {begins}\nlast hash: {last}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Event, Line, What as Happened};
    use crate::auth::Moment;

    #[test]
    fn a_log_is_whole_until_a_line_is_changed() {
        let folder = std::env::temp_dir().join(format!("farpane-cli-audit-{}", std::process::id()));
        let file = folder.join("audit.log");
        let (now, what) = (Moment::from_secs(1), Happened::Config { settings: 4 });
        let settings = crate::audit::AuditSettings {
            sinks: vec![crate::audit::SinkSpec::File(file.clone())],
            ..crate::audit::AuditSettings::default()
        };
        let machine = crate::audit::Machine { host: "h".into(), pid: 1 };
        let opener: std::sync::Arc<dyn crate::helper::Opener> = std::sync::Arc::new(crate::helper::InProcess);
        let mut sinks = crate::audit::open(&settings, &machine, &opener, now).unwrap();
        let json = Event::of_server(what.clone()).json(now);
        sinks[0].write(&Line { at: now, event: what.name(), severity: what.severity(), json }).unwrap();
        drop(sinks);
        let verify = |seen| run(&AuditArgs { what: What::Verify { file: file.clone(), seen } });
        let said = verify(None).unwrap();
        assert!(said.starts_with("whole: 1 events in 1 files, from the beginning\nlast hash: "), "{said}");
        let hash: Hash = said.trim_end().rsplit_once(' ').unwrap().1.parse().unwrap();
        assert!(
            verify(Some(hash)).is_ok() && verify(Some(Hash::default())).is_ok(),
            "a log begins with no hash at all"
        );
        let text = std::fs::read_to_string(&file).unwrap().replace("\"count\":4", "\"count\":5");
        std::fs::write(&file, text).unwrap();
        assert!(verify(None).unwrap_err().to_string().contains("line 2 does not follow"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}

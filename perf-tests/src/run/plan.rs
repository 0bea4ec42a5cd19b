//! All cells of a comparison, the servers taking turns: A B A B.

use super::cell::{Cell, Sample};
use super::check::{Quality, WrongPicture};
use super::{Encoding, Programs};
use crate::definition::{Definition, Mode, Server};
use crate::draw::Shared;
use crate::scene::Scene;
use std::sync::Arc;

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Servers, in the order of their turns.
    pub servers: Vec<Server>,
    /// Workloads.
    pub workloads: Vec<Definition>,
    /// Screen sizes.
    pub sizes: Vec<(u32, u32)>,
    /// Encodings.
    pub encodings: Vec<Encoding>,
    /// Turns of each server.
    pub rounds: u32,
    /// Seconds that a turn is measured.
    pub seconds: f64,
    /// Programs that the user named.
    pub programs: Programs,
}

/// How a row ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Turns that were measured.
    Measured(Vec<Sample>),
    /// The server does not know the encoding.
    Lacks,
    /// The picture was wrong: no number.
    Excluded(String),
    /// It could not be started or measured.
    Failed(String),
}

/// One server in one workload, size and encoding.
#[derive(Clone, Debug)]
pub struct Row {
    /// The workload's name.
    pub workload: String,
    /// Columns and rows.
    pub size: (u32, u32),
    /// The encoding's name.
    pub encoding: &'static str,
    /// The server's name.
    pub server: String,
    /// How good its picture was.
    pub quality: Option<Quality>,
    /// What came of it.
    pub outcome: Outcome,
}

/// Runs everything; `say` is told of each step, `keep` gets all rows so far whenever a group of them is whole.
///
/// # Errors
/// When a workload cannot be made or the rows cannot be kept; servers' faults end up in their rows.
pub fn run(
    plan: &Plan,
    mut say: impl FnMut(&str),
    mut keep: impl FnMut(&[Row]) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for size in &plan.sizes {
        for workload in &plan.workloads {
            say(&format!("{}x{} {}: making its pictures", size.0, size.1, workload.name));
            let shared = Arc::new(Shared::new(Scene::new(workload, size.0, size.1))?);
            for encoding in &plan.encodings {
                rows.extend(group(plan, &shared, *encoding, &mut say));
                keep(&rows)?;
            }
        }
    }
    Ok(rows)
}

/// One workload, size and encoding: every server is checked, then all take turns.
fn group(plan: &Plan, shared: &Arc<Shared>, encoding: Encoding, say: &mut impl FnMut(&str)) -> Vec<Row> {
    let scene = &shared.scene;
    let title = format!("{}x{} {} {}", scene.w, scene.h, scene.definition.name, encoding.name);
    let mut rows: Vec<Row> = plan
        .servers
        .iter()
        .map(|server| Row {
            workload: scene.definition.name.clone(),
            size: (scene.w, scene.h),
            encoding: encoding.name,
            server: server.name.clone(),
            quality: None,
            outcome: Outcome::Measured(Vec::new()),
        })
        .collect();
    let cell = |server| Cell { server, programs: &plan.programs, shared, encoding, seconds: plan.seconds };
    for (row, server) in rows.iter_mut().zip(&plan.servers) {
        if server.lacks.iter().any(|l| l == encoding.name) {
            row.outcome = Outcome::Lacks;
            continue;
        }
        say(&format!("{title}: {} is checked", server.name));
        match cell(server).check() {
            Ok(quality) => row.quality = Some(quality),
            Err(e) => {
                let text = format!("{e:#}");
                say(&format!("{title}: {}: {text}", server.name));
                let wrong = e.downcast_ref::<WrongPicture>().is_some();
                row.outcome = if wrong { Outcome::Excluded(text) } else { Outcome::Failed(text) };
            }
        }
    }
    let rounds = if scene.definition.mode == Mode::Idle { 1 } else { plan.rounds };
    for round in 1..=rounds {
        for (row, server) in rows.iter_mut().zip(&plan.servers) {
            let Outcome::Measured(samples) = &mut row.outcome else { continue };
            say(&format!("{title}: {}, turn {round} of {rounds}", server.name));
            match cell(server).measure() {
                Ok(sample) => samples.push(sample),
                Err(e) => {
                    let text = format!("{e:#}");
                    say(&format!("{title}: {}: {text}", server.name));
                    row.outcome = Outcome::Failed(text);
                }
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{built_in, servers};

    /// A server that knows none of two encodings: nothing is started.
    fn plan() -> Plan {
        let encodings: Vec<Encoding> = ["tight", "zrle"].into_iter().filter_map(Encoding::of).collect();
        let mut server = servers(None).expect("built in").remove(0);
        server.lacks = encodings.iter().map(|e| e.name.to_owned()).collect();
        Plan {
            servers: vec![server],
            workloads: built_in().expect("built in").into_iter().filter(|w| w.name == "idle").collect(),
            sizes: vec![(1024, 768)],
            encodings,
            rounds: 1,
            seconds: 0.5,
            programs: Programs { farpane: "farpane".into(), turbovnc: None },
        }
    }

    #[test]
    fn rows_are_kept_as_soon_as_they_are_there() {
        let mut kept = Vec::new();
        let keep = |rows: &[Row]| {
            kept.push(rows.len());
            Ok(())
        };
        let rows = run(&plan(), |_| (), keep).expect("rows");
        assert_eq!(rows.len(), 2);
        assert_eq!(kept, [1, 2]);
    }

    #[test]
    fn rows_that_cannot_be_kept_end_the_comparison() {
        let error = run(&plan(), |_| (), |_| anyhow::bail!("disk full")).expect_err("an error");
        assert_eq!(error.to_string(), "disk full");
    }
}

//! From a source's name to an opened desktop.

use std::sync::Arc;
use std::time::Instant;

use super::discover::{self, Environment, NOT_BUILT};
use super::replay::{ReplayBackend, ReplayOpenError};
use super::synthetic::SyntheticBackend;
use super::{Backend, Events, SourceSpec};

/// Why a source could not be opened; one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The source is known and this build cannot open it.
    #[error("source {0}: {NOT_BUILT}")]
    NotBuilt(SourceSpec),
    /// `auto` found no desktop.
    #[error("no desktop found to share ({0}); name one with --source, or see farpane probe")]
    Nothing(String),
    /// `x11` without a display, and none in the environment.
    #[error("DISPLAY is not set; name the display with --source x11:DISPLAY")]
    NoDisplay,
    /// The X server cannot be shared.
    #[cfg(feature = "x11")]
    #[error(transparent)]
    X11(#[from] super::x11::X11OpenError),
    /// The trace cannot be played.
    #[error(transparent)]
    Replay(#[from] ReplayOpenError),
    /// The system refused a thread.
    #[error("no resources to open the source: {0}")]
    System(#[from] std::io::Error),
}

/// Opens a desktop. Its first events are in the channel or on their way when this returns.
///
/// May take a moment (it connects): call it off the network threads.
///
/// # Errors
/// When the source is not there or not in this build.
pub fn open(spec: &SourceSpec, env: &Environment, events: Events) -> Result<Arc<dyn Backend>, OpenError> {
    match spec {
        SourceSpec::Auto => {
            let routes = discover::probe(env);
            let (chosen, why) =
                discover::choose_auto(&routes).ok_or_else(|| OpenError::Nothing(first_reason(&routes)))?;
            tracing::info!(source = %chosen, why, "chose what to share");
            open(&chosen, env, events)
        }
        SourceSpec::Synthetic(scene) => Ok(Arc::new(SyntheticBackend::open(*scene, Instant::now(), events)?)),
        SourceSpec::Replay(file) => Ok(Arc::new(ReplayBackend::open(file, &*env.opener, events)?)),
        #[cfg(feature = "x11")]
        SourceSpec::X11(display) => {
            let display = display.as_ref().or(env.display.as_ref()).ok_or(OpenError::NoDisplay)?;
            let target = discover::reach(env, &discover::look(env), display).map_err(super::x11::X11OpenError::from)?;
            let opener = Arc::clone(&env.opener);
            Ok(Arc::new(super::x11::X11Backend::open(target, opener, env.clipboard, events)?))
        }
        other => Err(OpenError::NotBuilt(other.clone())),
    }
}

fn first_reason(routes: &[discover::Route]) -> String {
    let reason = |r: &discover::Route| match &r.state {
        discover::RouteState::Usable => None,
        discover::RouteState::Unusable { reason, .. } => Some(format!("{}: {reason}", r.source)),
    };
    routes.iter().find_map(reason).unwrap_or_else(|| "only what shows no whole desktop".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::InProcess;

    fn refusal(source: &str) -> String {
        let mut env = Environment::new(u32::MAX, Arc::new(InProcess));
        env.root = "/nonexistent".into();
        let (send, _events) = tokio::sync::mpsc::unbounded_channel();
        match open(&source.parse().expect("a source"), &env, send) {
            Ok(_) => panic!("{source} cannot be there"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_of_sources_that_are_not_built_are_refused_as_such() {
        for source in ["portal", "wlroots", "pipewire:4", "kms", "kms:card0-DP-1"] {
            assert_eq!(refusal(source), format!("source {source}: not in this build"));
        }
    }

    #[test]
    #[cfg(feature = "x11")]
    fn a_display_that_is_not_there_is_one_line_that_says_what_to_do() {
        let said = refusal("x11::77");
        assert!(said.starts_with("no X server at display :77: /nonexistent/tmp/.X11-unix/X77"), "{said}");
        assert!(said.contains("--source x11:DISPLAY") && !said.contains('\n'), "{said}");
        assert!(refusal("x11").contains("DISPLAY is not set"));
        assert!(refusal("auto").starts_with("no desktop found to share"));
    }
}

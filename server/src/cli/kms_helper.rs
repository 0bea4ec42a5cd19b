//! `farpane kms-helper`: looks at screens for servers that may not.

use std::path::PathBuf;

use clap::Args;

use crate::app::{self, AppError};
use crate::config::LogSection;
use crate::helper::kms::{Allowed, KmsHelper, SOCKET};

#[derive(Args, Debug)]
pub(super) struct KmsHelperArgs {
    /// Where servers find it; they look at FARPANE_KMS_SOCKET where that is set
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
    /// A user whose servers may look at the screens and type, by name or number; may be given more than once
    #[arg(long, value_name = "USER", required = true)]
    allow: Vec<Allowed>,
    /// Make no input devices: nobody can type or point
    #[arg(long)]
    no_input: bool,
}

/// Serves until the process is ended.
///
/// # Errors
/// When it cannot listen.
pub(super) fn run(args: KmsHelperArgs, log: LogSection) -> Result<(), AppError> {
    app::log_to_stderr(log);
    let failed = |error: &dyn std::fmt::Display| AppError::Failed(format!("kms-helper: {error}"));
    crate::sandbox::keep_private().map_err(|error| failed(&error))?;
    crate::sandbox::gain_nothing().map_err(|error| failed(&error))?;
    let helper = KmsHelper::bind(&args.socket, args.allow, !args.no_input).map_err(|error| failed(&error))?;
    tracing::info!(socket = %args.socket.display(), "listening");
    // without a service manager nobody listens to that
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    helper.serve().map_err(|error| failed(&error))
}

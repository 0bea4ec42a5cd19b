//! Whether frames show a source's buffer.

use std::sync::Arc;

/// A source's note of a buffer: frames that show it hold it, too. The memory itself says nothing of them, since devices keep what they have taken.
#[derive(Debug, Default)]
pub(crate) struct Loan(Arc<()>);

impl Loan {
    /// Whether no frame shows the buffer.
    pub(crate) fn is_free(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// What a frame that shows it does when it is dropped.
    pub(crate) fn lend(&self) -> Box<dyn FnOnce() + Send> {
        let held = Arc::clone(&self.0);
        Box::new(move || drop(held))
    }
}

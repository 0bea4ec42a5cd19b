//! Outputs as they are seen smaller: one pipeline for each scale that somebody looks at.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use farpane_engine::damage::CpuDamage;
use farpane_engine::geometry::Scale;
use farpane_engine::pipeline::{Output, ScaledSource};

use crate::backend::OutputId;

/// Those that somebody looks at; whoever does keeps them.
#[derive(Default)]
pub(super) struct Smaller {
    outputs: HashMap<(OutputId, Scale), Made>,
}

struct Made {
    /// What it was made of: an output may be replaced by another of its name.
    base: Weak<Output>,
    output: Weak<Output>,
}

impl Smaller {
    /// An output at a scale; itself, where that is as large as it is. None when the system has no thread left for it.
    pub fn output(&mut self, id: OutputId, base: &Arc<Output>, scale: Scale) -> Option<Arc<Output>> {
        if scale == Scale::WHOLE {
            return Some(Arc::clone(base));
        }
        let made = self.outputs.get(&(id, scale)).filter(|made| made.base.ptr_eq(&Arc::downgrade(base)));
        if let Some(output) = made.and_then(|made| made.output.upgrade()) {
            return Some(output);
        }
        self.outputs.retain(|_, made| made.output.strong_count() > 0);
        let source = Box::new(ScaledSource::new(base, scale));
        // its pictures lie in system memory; what happens to them happens to the output as well, and is told there
        match Output::spawn(source, Box::new(CpuDamage::new()), Box::new(|_| ()), Instant::now()) {
            Ok(output) => {
                let output = Arc::new(output);
                let made = Made { base: Arc::downgrade(base), output: Arc::downgrade(&output) };
                self.outputs.insert((id, scale), made);
                Some(output)
            }
            Err(error) => {
                tracing::warn!(output = %base.info().name, %error, "cannot be shown smaller");
                None
            }
        }
    }
}

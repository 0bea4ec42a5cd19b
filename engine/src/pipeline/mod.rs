//! Per-output pipelines: capture on demand, damage, fan-out to clients, encoding on every core.

//! Jitter
/// placeholder
#[derive(Debug)]
pub struct JitterBuffer;

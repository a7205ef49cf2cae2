//! Call detail records.

/// One call, after its end.
#[derive(Clone, Debug)]
pub struct CallRecord {}

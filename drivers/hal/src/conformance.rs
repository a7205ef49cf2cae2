//! Tests for any card: order of events, hook truth, steady block count, no loss at rest.

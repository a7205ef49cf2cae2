//! Digit patterns compiled to one automaton; number and origin to a list of routes.
//!
//! ```text
//!   rules (name, patterns, callers, action)
//!      |  pattern.rs   text -> list of digit sets, named parts, bar
//!      |  compile      narrower wins; crossing patterns are errors with a witness
//!      v  automaton.rs one automaton over 0-9 * # + for all rules
//!   Plan --route(origin, inside, digits)--------> Decision
//!        --completeness(origin, inside, digits)-> Complete, CompleteMayGrow, ...
//! ```
//!
//! A plan has no order that matters but one: of the rules that accept a number, the narrowest
//! wins, and among rules with the same pattern the first in the file that serves the caller.
//! This module reads no files: `config` gives it rules.

mod automaton;
mod failure;
mod pattern;
mod plan;
mod target;
mod template;

pub use failure::FailureName;
pub use pattern::{Pattern, PatternError};
pub use plan::{ANYBODY, Action, Callers, Flaw, Plan, RingStep, Rule, is_inside};
pub use target::{Chosen, Completeness, Considered, Decision, Refusal, Rung, Target, TargetKind, Verdict};
pub use template::{Template, TemplateError};

#[cfg(test)]
mod tests;

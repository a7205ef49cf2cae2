//! RFC 5359, session initiation protocol service examples. The gateway stands where the figures have proxies.
//!
//! | section | service | here |
//! |---|---|---|
//! | 2.1, 2.2 | hold, consultation hold | [`calls`] |
//! | 2.3 | music on hold | no: the gateway has no music; a server that re-INVITEs passes as in 2.1 |
//! | 2.4, 2.5 | transfer, unattended and attended | [`phones`] |
//! | 2.6 | transfer by instant messaging | no: the link in a MESSAGE is for a person to follow; MESSAGE passes as it is |
//! | 2.7, 2.8, 2.9 | forwarding: always, busy, no answer | [`calls`] |
//! | 2.10, 2.11 | conference of three | no: the gateway does not mix |
//! | 2.12 | find-me | [`phones`] in parallel, [`calls`] by redirection |
//! | 2.13 | incoming call screening | by the telephone itself (603); a table for it (`[screen]`) is not built |
//! | 2.14 | outgoing call screening | [`calls`]: a number that no route leads to from there |
//! | 2.15 | call park | no: no place to park at; pick-up by Replaces is there |
//! | 2.16 | call pick-up | [`phones`] |
//! | 2.17 | automatic redial | the lamp that it rests on: `dialog` in `src/gateway/events/tests.rs`; dialling is the phone's |
//! | 2.18 | click to dial | [`phones`] |

#[path = "rfc5359/calls.rs"]
mod calls;
#[path = "rfc5359/phones.rs"]
mod phones;

//! tipring: a media gateway between analog lines, ISUP-style trunks and SIP.

pub mod call;
pub mod capture;
pub mod config;
pub mod dialplan;
pub mod gateway;
pub mod ids;
pub mod isup;
pub mod limits;
pub mod line;
pub mod media;
pub mod rng;
pub mod rtp;
pub mod sdp;
pub mod shell;
#[cfg(feature = "virtual")]
pub mod simulator;
pub mod sip;
pub mod switch;
pub mod time;
pub mod trunk;

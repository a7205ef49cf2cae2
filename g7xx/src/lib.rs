//! Speech codecs of the ITU-T G.7xx series.
#![cfg_attr(not(test), no_std)]

pub mod g711;

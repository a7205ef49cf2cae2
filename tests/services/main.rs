//! Services of the exchange through the whole gateway in virtual time: ring groups, several contacts,
//! races, redirects, forwarding, transfer, pick-up, click-to-dial. Every test ends with nothing left.

mod office;
mod ringing;
mod sending_on;
mod transfer;

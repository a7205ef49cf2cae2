//! Call flows of the standards, executed message by message in virtual time against the whole gateway, over
//! UDP, TCP and TLS.
//!
//! The other ends are written by hand here ([`udp::stage`]): each message that comes is expected by name,
//! and one that nobody expected fails the test.

#![allow(clippy::duplicate_mod, reason = "each flow is there once for each transport")]

/// All flows, and how SIP travels in them.
macro_rules! flows_over {
    ($module:ident, $transport:expr) => {
        #[path = "."]
        mod $module {
            pub const TRANSPORT: tipring::sip::Transport = $transport;

            #[path = "hiding.rs"]
            mod hiding;
            #[path = "rfc3665.rs"]
            mod rfc3665;
            #[path = "rfc3666.rs"]
            mod rfc3666;
            #[path = "rfc3666_isup.rs"]
            mod rfc3666_isup;
            #[path = "rfc5359.rs"]
            mod rfc5359;
            #[path = "stage.rs"]
            mod stage;
        }
    };
}

mod wires;

flows_over!(udp, tipring::sip::Transport::Udp);
flows_over!(tcp, tipring::sip::Transport::Tcp);
flows_over!(tls, tipring::sip::Transport::Tls);

//! SIP status and Reason to and from trunk events (RFC 3398).

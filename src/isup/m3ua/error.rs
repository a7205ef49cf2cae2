//! Codes of ERR (RFC 4666 3.8.1), status of NTFY (3.8.2), traffic modes (3.7.1).

use crate::isup::codes;

codes! {
    /// What ERR complains about (RFC 4666 3.8.1).
    Code {
        INVALID_VERSION = 0x01, "invalid version";
        UNSUPPORTED_CLASS = 0x03, "unsupported message class";
        UNSUPPORTED_TYPE = 0x04, "unsupported message type";
        UNSUPPORTED_MODE = 0x05, "unsupported traffic mode";
        UNEXPECTED_MESSAGE = 0x06, "unexpected message";
        PROTOCOL_ERROR = 0x07, "protocol error";
        INVALID_STREAM = 0x09, "invalid stream identifier";
        MANAGEMENT_BLOCKING = 0x0d, "refused, management blocking";
        ASP_REQUIRED = 0x0e, "ASP identifier required";
        INVALID_ASP = 0x0f, "invalid ASP identifier";
        INVALID_PARAMETER = 0x11, "invalid parameter value";
        PARAMETER_FIELD = 0x12, "parameter field error";
        UNEXPECTED_PARAMETER = 0x13, "unexpected parameter";
        UNKNOWN_DESTINATION = 0x14, "destination status unknown";
        INVALID_APPEARANCE = 0x15, "invalid network appearance";
        MISSING_PARAMETER = 0x16, "missing parameter";
        INVALID_CONTEXT = 0x19, "invalid routing context";
        NO_SERVER = 0x1a, "no configured AS for this ASP";
    }
}

/// Status type and information of NTFY (RFC 4666 3.8.2), as one number.
pub mod status {
    /// The application server is inactive.
    pub const SERVER_INACTIVE: u32 = 0x0001_0002;
    /// It is active.
    pub const SERVER_ACTIVE: u32 = 0x0001_0003;
    /// Nobody is active any more; messages wait.
    pub const SERVER_PENDING: u32 = 0x0001_0004;
    /// More processes are needed.
    pub const INSUFFICIENT: u32 = 0x0002_0001;
    /// Another process took over.
    pub const ALTERNATE_ACTIVE: u32 = 0x0002_0002;
    /// A process failed.
    pub const FAILURE: u32 = 0x0002_0003;

    /// In words.
    pub fn name(status: u32) -> &'static str {
        match status {
            SERVER_INACTIVE => "the application server is inactive",
            SERVER_ACTIVE => "the application server is active",
            SERVER_PENDING => "the application server is pending",
            INSUFFICIENT => "too few processes are active",
            ALTERNATE_ACTIVE => "another process is active",
            FAILURE => "a process failed",
            _ => "a status without a name",
        }
    }
}

/// How the processes of an application server share its traffic (RFC 4666 3.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficMode {
    /// One carries all of it.
    Override,
    /// The circuits are divided among them.
    Loadshare,
    /// Each gets every message.
    Broadcast,
}

impl TrafficMode {
    /// With their names in the configuration.
    pub const ALL: [(&'static str, TrafficMode); 3] = [
        ("override", TrafficMode::Override),
        ("loadshare", TrafficMode::Loadshare),
        ("broadcast", TrafficMode::Broadcast),
    ];

    /// The value of the parameter.
    pub fn value(self) -> u32 {
        match self {
            TrafficMode::Override => 1,
            TrafficMode::Loadshare => 2,
            TrafficMode::Broadcast => 3,
        }
    }
}

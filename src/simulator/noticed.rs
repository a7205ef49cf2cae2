//! What a telephone of the simulator notices, for scenarios and checkers.

use tipring_hal::Digit;

/// What a phone noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// Its registration, or the removal of it, succeeded.
    Registered,
    /// It failed: status, or none when nobody answered.
    RegistrationFailed(Option<u16>),
    /// It rings.
    Ringing,
    /// The other side rings.
    Ringback,
    /// The call was answered, by either side.
    Answered,
    /// A transfer that was asked for: what the NOTIFY said.
    Transferred(u16),
    /// An INVITE came with this field of its history: Diversion, History-Info or Referred-By.
    SentOn(String),
    /// The call ended, or the final response of an ended one came.
    Released {
        /// Status of the final response, when it was 300 or more.
        status: Option<u16>,
        /// Q.850 cause in Reason.
        cause: Option<u8>,
        /// SIP status in Reason: 200 when somebody else answered.
        elsewhere: bool,
        /// In words.
        how: &'static str,
    },
    /// A key of the other side.
    Digit(Digit),
}

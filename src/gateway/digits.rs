//! Digits that travel by INFO (`application/dtmf-relay`, `application/dtmf`), in and out, and other
//! requests inside a dialog.
//!
//! RFC 6086 calls this the legacy use of INFO: no Info-Package. A package is refused with 469, since we
//! know none (4.2.2); INFO without body is a question whether the dialog lives, and gets 200.

use super::{CardId, Gateway, Output, PortId, Step, WorkerId};
use crate::call::CallId;
use crate::call::b2bua::Side;
use crate::call::leg::Leg;
use crate::gateway::calls::Place;
use crate::media::{End, MediaCommand, StreamId};
use crate::sip::{Body, Header, HeaderName, Method, Request, Response, ServerTransactionId, SessionId};
use tipring_hal::{Digit, PortIndex};
use tracing::debug;

/// How long a digit lasts that we send by INFO.
const DURATION_MS: u16 = 160;
const RELAY: &str = "application/dtmf-relay";
const PLAIN: &str = "application/dtmf";

impl Gateway {
    /// A request inside a dialog that neither offers nor ends anything.
    pub(super) fn in_dialog(
        &mut self,
        session: SessionId,
        server: ServerTransactionId,
        request: &Request,
        step: &mut Step<'_>,
    ) {
        let response = match request.method {
            Method::Info => self.information(session, request, step),
            Method::Message => None,
            // RFC 3261 11.2: the same answer as outside of a dialog.
            Method::Options => Some(self.endpoint.capabilities()),
            _ => Some(self.endpoint.not_allowed()),
        };
        let response = match response.map_or_else(|| self.cross(session, server, request, step), |r| Some(Err(r))) {
            // The other leg answers it.
            Some(Ok(())) => return,
            Some(Err(response)) => response,
            None => self.for_nobody(request),
        };
        self.endpoint.reply(step.now, server, response, &mut step.sip);
    }

    /// The answer to what is for the other leg, when nobody there could read it.
    fn for_nobody(&self, request: &Request) -> Response {
        match request.method {
            // RFC 6086 4.2.2: "the UA MUST send a 469 (Bad Info Package) response", with the packages that it takes.
            Method::Info if request.headers.has(&HeaderName::InfoPackage) => {
                Response::new(469).with_reason("Bad Info Package").with(HeaderName::RecvInfo, "")
            }
            Method::Info => Response::new(415).with(HeaderName::Accept, format!("{RELAY}, {PLAIN}")),
            _ => self.endpoint.not_allowed(),
        }
    }

    /// Takes INFO that is for us. `None`: it is for the other leg.
    fn information(&mut self, session: SessionId, request: &Request, step: &mut Step<'_>) -> Option<Response> {
        if request.headers.has(&HeaderName::InfoPackage) {
            return None;
        }
        let Some(body) = request.typed_body() else { return Some(Response::new(200)) };
        let found = body.part(RELAY).or_else(|| body.part(PLAIN))?;
        Some(self.digit_by_info(session, &found, step))
    }

    fn digit_by_info(&mut self, session: SessionId, found: &Body, step: &mut Step<'_>) -> Response {
        let Some(digit) = digit_of(found) else { return Response::new(400).with_reason("No Digit") };
        let Some((id, Place::Side(side), _)) = self.sip_leg(session) else { return Response::new(200) };
        self.send_digit(id, side.other(), digit, step);
        Response::new(200)
    }

    /// Lets the leg of `side` hear a digit that did not come in its media.
    fn send_digit(&mut self, id: CallId, side: Side, digit: Digit, step: &mut Step<'_>) {
        let Some(call) = self.calls.get(id).filter(|call| call.audio_open) else { return };
        let worker = call.worker;
        debug!(call = call.number, leg = ?side, %digit, "digit by INFO");
        let end = match call.leg(side) {
            Some(Leg::Sip(leg)) if leg.digits_by_info => {
                let session = leg.session;
                return self.inform(session, digit, step);
            }
            Some(Leg::Sip(leg)) => End::Stream(leg.stream),
            Some(Leg::Line(port)) => End::Port(port.port),
            Some(Leg::Service(_) | Leg::Operator | Leg::Circuit { .. }) | None => return,
        };
        step.out.push(Output::Media(worker, MediaCommand::SendDigit(end, digit)));
    }

    fn inform(&mut self, session: SessionId, digit: Digit, step: &mut Step<'_>) {
        let text = format!("Signal={}\r\nDuration={DURATION_MS}\r\n", digit.as_char());
        let body = Some(Body { content_type: RELAY.to_owned(), bytes: text.into_bytes() });
        self.endpoint.request_in_dialog(step.now, session, Method::Info, body, Vec::<Header>::new(), &mut step.sip);
    }

    /// A digit was heard on a stream.
    pub(super) fn digit_of_stream(&mut self, id: Option<CallId>, stream: StreamId, digit: Digit, step: &mut Step<'_>) {
        let Some((id, call)) = id.and_then(|id| Some((id, self.calls.get(id)?))) else { return };
        let is_its = |side: &Side| matches!(call.leg(*side), Some(Leg::Sip(leg)) if leg.stream == stream);
        if let Some(side) = [Side::A, Side::B].into_iter().find(is_its) {
            self.digit_heard(id, side, digit, step);
        }
    }

    /// A digit was heard from a line.
    pub(super) fn digit_of_port(&mut self, worker: WorkerId, port: PortIndex, digit: Digit, step: &mut Step<'_>) {
        let id = PortId { card: CardId(worker.0), port };
        if let Some((call, side)) = self.ports.get(&id).and_then(|port| port.call) {
            self.digit_heard(call, side, digit, step);
        }
    }

    /// Digits of a line are listened for while its peer takes them by INFO.
    pub(super) fn listen_for_digits(&self, id: CallId) -> Option<MediaCommand> {
        let call = self.calls.get(id)?;
        let by_info = |leg: Option<&Leg>| matches!(leg, Some(Leg::Sip(leg)) if leg.digits_by_info);
        [Side::A, Side::B].into_iter().find_map(|side| match call.leg(side) {
            Some(Leg::Line(port)) if by_info(call.leg(side.other())) => {
                Some(MediaCommand::DetectDigits(port.port, true))
            }
            _ => None,
        })
    }

    /// A digit was heard in the media of a leg: a peer that takes digits by INFO is told.
    fn digit_heard(&mut self, id: CallId, side: Side, digit: Digit, step: &mut Step<'_>) {
        let Some(call) = self.calls.get(id).filter(|call| call.answered_at.is_some()) else { return };
        if let Some(Leg::Sip(leg)) = call.leg(side.other())
            && leg.digits_by_info
        {
            let session = leg.session;
            self.inform(session, digit, step);
        }
    }
}

/// The digit of a body: `Signal=5` among lines, or the digit alone; `10` and `11` are `*` and `#`.
fn digit_of(body: &Body) -> Option<Digit> {
    let text = String::from_utf8_lossy(&body.bytes);
    let value = match body.is(RELAY) {
        true => text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case("signal").then(|| value.trim().to_owned())
        })?,
        false => text.trim().to_owned(),
    };
    match value.as_str() {
        "10" => Digit::from_char('*'),
        "11" => Digit::from_char('#'),
        _ => {
            let mut characters = value.chars();
            let digit = characters.next().map(|c| c.to_ascii_uppercase())?;
            characters.next().is_none().then(|| Digit::from_char(digit))?
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_as_phones_write_them() {
        let check = |content_type: &str, text: &str, expected: Option<char>| {
            let body = Body { content_type: content_type.to_owned(), bytes: text.as_bytes().to_vec() };
            assert_eq!(digit_of(&body).map(|digit| digit.as_char()), expected, "{text}");
        };
        check(RELAY, "Signal=5\r\nDuration=160\r\n", Some('5'));
        check(RELAY, "signal= *\nduration = 100", Some('*'));
        check(RELAY, "Duration=100\r\nSignal=11", Some('#'));
        check(RELAY, "Signal=d", Some('D'));
        check(RELAY, "Signal=", None);
        check(RELAY, "Signal=55", None);
        check(RELAY, "5", None);
        check(PLAIN, "5\r\n", Some('5'));
        check(PLAIN, "x", None);
    }
}

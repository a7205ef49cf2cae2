//! Who may come in and where we log in: the tables and keys for accounts, carriers, bans and the store.

use super::findings::Finding;
use super::section::{Lowering, Section, Value};
use super::tables::{choice, choices, optional_text};
use super::{Ban, DigestAlgorithm, Listener, Login, Password, Registrar};
use super::{tls, values};
use crate::sip::{Method, Uri};
use std::time::Duration;

/// Most refusals or new calls in a second that can be asked for.
const RATE_MAX: i64 = 1_000_000;

/// Text, `{ file = ... }` or `{ env = ... }`.
pub(super) fn password(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<Password> {
    use toml::de::DeValue;
    let (password, place) = match value.item.get_ref() {
        DeValue::String(_) => {
            let text = lowering.text(value)?;
            (text.text, text.place)
        }
        DeValue::Table(_) => {
            let mut table = lowering.table(value, "a password".to_owned())?;
            let (file, variable) = (table.get("file"), table.get("env"));
            table.finish(lowering);
            match (file, variable) {
                (Some(file), None) => {
                    let path = lowering.text(file)?;
                    match lowering.reader.file(&path.text) {
                        Ok(text) => (text.trim_end_matches(['\r', '\n']).to_owned(), path.place),
                        Err(error) => {
                            let message = format!("cannot read {}: {error}", path.text);
                            lowering.push(Finding::error("C0104", &path.place, message));
                            return None;
                        }
                    }
                }
                (None, Some(variable)) => {
                    let name = lowering.text(variable)?;
                    match lowering.reader.variable(&name.text) {
                        Some(text) => (text, name.place),
                        None => {
                            let message = format!("the environment has no variable {}", name.text);
                            lowering.push(Finding::error("C0104", &name.place, message));
                            return None;
                        }
                    }
                }
                _ => {
                    let finding = Finding::error("C0104", &value.place(), "a password comes from exactly one place");
                    lowering.push(finding.help("write text, { file = \"...\" } or { env = \"...\" }"));
                    return None;
                }
            }
        }
        _ => {
            lowering.wrong_type(value, "text, { file = \"...\" } or { env = \"...\" }");
            return None;
        }
    };
    if password.is_empty() {
        lowering.push(Finding::error("C0104", &place, "this password is empty"));
        return None;
    }
    Some(Password(password))
}

/// `digest = ["SHA-256", "MD5"]`
pub(super) fn digests(value: Value<'_>, lowering: &mut Lowering<'_>) -> Option<Vec<DigestAlgorithm>> {
    let texts = lowering.list(value)?;
    let known = DigestAlgorithm::ALL.map(|algorithm| (algorithm.as_str(), algorithm));
    choices(&texts, &known, "C0015", "digest algorithm", lowering)
}

/// `qop = "auth"` or `"none"`: whether the account is a telephone of RFC 2069.
pub(super) fn without_qop(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<bool> {
    let Some(value) = section.get("qop") else { return Some(false) };
    let known = [("auth", false), ("none", true)];
    lowering.text(value).and_then(|text| choice(&text, &known, "C0022", "qop", lowering))
}

/// `open = ["OPTIONS"]` of `[sip]`
pub(super) fn open_methods(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<Vec<Method>> {
    let Some(value) = section.get("open") else { return Some(Vec::new()) };
    let texts = lowering.texts(value)?;
    // What else there is changes something that is an account's, or belongs to a dialog.
    let known = ["OPTIONS", "INVITE", "MESSAGE", "SUBSCRIBE"].map(|name| (name, name));
    let names = choices(&texts, &known, "C0022", "method that may be open", lowering)?;
    Some(names.into_iter().map(Method::from_token).collect())
}

/// What a trunk says about logging in there.
pub(super) struct Carrier {
    pub(super) login: Option<Login>,
    pub(super) register: Option<Duration>,
    pub(super) domain: Option<String>,
    pub(super) outbound_proxy: Option<Uri>,
}

/// `register`, `expires`, `username`, `password`, `realm`, `domain`, `outbound-proxy` of `[trunk.NAME]`.
pub(super) fn carrier(
    section: &mut Section<'_>,
    listen: Option<&[Listener]>,
    lowering: &mut Lowering<'_>,
) -> Option<Carrier> {
    let registers = section.get("register").map(|value| (value.place(), lowering.boolean(value)));
    let expires = section.get("expires").map(|value| {
        lowering.duration(value, Duration::from_secs(60)..=Duration::from_secs(86_400)).map(|d| (value.place(), d))
    });
    let username = section.get("username").map(|value| (value.place(), lowering.text(value)));
    let secret = section.get("password").map(|value| (value.place(), password(value, lowering)));
    let realm = optional_text("realm", section, lowering);
    let domain = section.get("domain").map(|value| values::host(value, lowering));
    let outbound_proxy = section.get("outbound-proxy").map(|value| {
        let text = lowering.text(value)?;
        tls::reachable(&text, listen, lowering)
    });
    let lacks = |key: &str, place: &super::Place, lowering: &mut Lowering<'_>, why: &str| {
        let message = format!("{} needs a key \"{key}\" {why}", section.title);
        lowering.push(Finding::error("C0005", place, message).label(format!("\"{key}\" is missing")));
    };
    match (&username, &secret) {
        (Some((place, _)), None) => lacks("password", place, lowering, "for its user name"),
        (None, Some((place, _))) => lacks("username", place, lowering, "for its password"),
        _ => {}
    }
    let wants_to_register = matches!(registers, Some((_, Some(true))));
    if let Some((place, _)) = registers.as_ref().filter(|_| wants_to_register) {
        if !section.has("to") {
            lacks("to", place, lowering, "to register there");
        }
        if username.is_none() && secret.is_none() {
            lacks("username", place, lowering, "to register there");
        }
    }
    if let Some(Some((place, _))) = expires.as_ref().filter(|_| !wants_to_register) {
        let finding = Finding::error("C0022", place, "\"expires\" is for a trunk that registers");
        lowering.push(finding.help("write register = true, or leave it out"));
    }
    let register = match (registers, expires) {
        (Some((_, None)), _) | (_, Some(None)) => return None,
        (Some((_, Some(true))), Some(Some((_, expires)))) => Some(expires),
        (Some((_, Some(true))), None) => Some(Duration::from_secs(3600)),
        _ => None,
    };
    let login = match (username, secret) {
        (Some((_, username)), Some((_, password))) => {
            Some(Login { username: username?.text, password: password?, realm: realm? })
        }
        _ => None,
    };
    let domain = match domain {
        Some(domain) => Some(domain?),
        None => None,
    };
    let outbound_proxy = match outbound_proxy {
        Some(proxy) => Some(proxy?),
        None => None,
    };
    Some(Carrier { login, register, domain, outbound_proxy })
}

/// `[ban]`
pub(super) fn ban(section: Option<Section<'_>>, lowering: &mut Lowering<'_>) -> Option<Option<Ban>> {
    let default = Ban::default();
    let Some(mut section) = section else { return Some(Some(default)) };
    let failures = match section.get("failures") {
        Some(value) => lowering.integer(value, 0..=10_000, "C0012").and_then(|n| u32::try_from(n).ok()),
        None => Some(default.failures),
    };
    let mut time = |key, default, lowering: &mut Lowering<'_>| match section.get(key) {
        Some(value) => lowering.duration(value, Duration::from_secs(1)..=Duration::from_secs(30 * 86_400)),
        None => Some(default),
    };
    let within = time("within", default.within, lowering);
    let lasts = time("lasts", default.lasts, lowering);
    section.finish(lowering);
    let ban = Ban { failures: failures?, within: within?, lasts: lasts? };
    Some((ban.failures > 0).then_some(ban))
}

/// `[registrar]`
pub(super) fn registrar(section: Option<Section<'_>>, lowering: &mut Lowering<'_>) -> Option<Registrar> {
    let default = Registrar::default();
    let Some(mut section) = section else { return Some(default) };
    let place = section.place.clone();
    let mut time = |key, default, lowering: &mut Lowering<'_>| match section.get(key) {
        Some(value) => lowering.duration(value, Duration::from_secs(1)..=Duration::from_secs(30 * 86_400)),
        None => Some(default),
    };
    let min = time("expires-min", default.min, lowering);
    let max = time("expires-max", default.max.max(min.unwrap_or_default()), lowering);
    let usual = time("expires", default.usual.max(min.unwrap_or_default()).min(max.unwrap_or(Duration::MAX)), lowering);
    section.finish(lowering);
    let registrar = Registrar { min: min?, max: max?, usual: usual? };
    if !(registrar.min <= registrar.usual && registrar.usual <= registrar.max) {
        let finding = Finding::error("C0014", &place, "the times of [registrar] contradict each other");
        lowering.push(finding.help("expires-min is at most expires, and expires at most expires-max"));
        return None;
    }
    Some(registrar)
}

/// `[store]`: the path of its file.
pub(super) fn store(section: Option<Section<'_>>, lowering: &mut Lowering<'_>) -> Option<Option<String>> {
    let Some(mut section) = section else { return Some(None) };
    let path = section.require("path", lowering).and_then(|value| lowering.text(value));
    section.finish(lowering);
    let path = path?;
    if path.text.is_empty() {
        lowering.push(Finding::error("C0022", &path.place, "a file needs a name"));
        return None;
    }
    Some(Some(path.text))
}

/// `refusals-per-second` and `calls-per-second` of `[limits]`
pub(super) fn rates(section: &mut Section<'_>, lowering: &mut Lowering<'_>) -> Option<(u32, Option<u32>)> {
    let mut rate = |key, lowering: &mut Lowering<'_>| match section.get(key) {
        Some(value) => lowering.integer(value, 1..=RATE_MAX, "C0012").and_then(|n| u32::try_from(n).ok()).map(Some),
        None => Some(None),
    };
    let refusals = rate("refusals-per-second", lowering);
    let calls = rate("calls-per-second", lowering);
    Some((refusals?.unwrap_or(super::REFUSALS_PER_SECOND), calls?))
}

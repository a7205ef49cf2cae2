//! `tipring explain cause 41`, `tipring explain status 503`: the row of the interworking table, and its source.

use super::Answer;
use serde_json::json;
use tipring::config::Config;
use tipring::trunk::interwork::{self, Interworking, Rule};
use tipring::trunk::{Cause, Location, Release};

/// The table of a trunk: `isup/NAME`, `trunk/NAME`, or the bare name; that of RFC 3398 for no trunk.
fn table_of<'c>(config: &'c Config, trunk: Option<&str>) -> Result<(String, &'c Interworking), String> {
    static PLAIN: Interworking = Interworking::RFC_3398;
    let Some(asked) = trunk else { return Ok(("every leg without a table of its own".to_owned(), &PLAIN)) };
    let isups = config.isups.iter().map(|isup| (format!("isup/{}", isup.name), &isup.interworking));
    let trunks = config.trunks.iter().map(|trunk| (format!("trunk/{}", trunk.name), &trunk.interworking));
    let all: Vec<_> = isups.chain(trunks).collect();
    let bare = |name: &str| name.split_once('/').is_some_and(|(_, name)| name == asked);
    let found: Vec<_> = all.iter().filter(|(name, _)| name == asked || bare(name)).cloned().collect();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => {
            let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
            Err(format!("no trunk is called {asked}; there are: {}", names.join(", ")))
        }
        more => Err(format!(
            "{asked} is the name of several: {}",
            more.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// `tipring explain cause N`
pub(super) fn cause(config: &Config, value: &str, trunk: Option<&str>, as_json: bool) -> Answer {
    let cause = value.parse().ok().and_then(Cause::new);
    let cause = cause.ok_or_else(|| format!("\"{value}\" is no cause: a Q.850 cause is a number from 1 to 127"))?;
    let (name, table) = table_of(config, trunk)?;
    let by_network = table.status_rule(Release { cause, location: Location::LocalNetwork });
    let by_user = table.status_rule(Release::user(cause));
    let meaning = interwork::name_of(cause);
    if as_json {
        let rule = |rule: Rule<u16>| to_json(rule, |status| json!(status));
        return Ok(json!({
            "cause": cause.value(), "name": meaning, "trunk": name, "profile": table.profile.as_str(),
            "status": rule(by_network), "status-when-the-user-said-it": rule(by_user),
        })
        .to_string());
    }
    let mut text = format!("cause {cause}  {}\n", meaning.unwrap_or("no name in Q.850: spare, or reserved"));
    text += &head(&name, table);
    text += &line("status", by_network, |status| format!("{status} {}", phrase(status)));
    if by_user != by_network {
        text += &line("by a user", by_user, |status| format!("{status} {}", phrase(status)));
    }
    text += "  Reason      carries the cause as it came, whatever the status\n";
    Ok(text)
}

/// `tipring explain status NNN`
pub(super) fn status(config: &Config, value: &str, trunk: Option<&str>, as_json: bool) -> Answer {
    let status = value.parse().ok().filter(|status| (300..=699).contains(status));
    let status: u16 = status
        .ok_or_else(|| format!("\"{value}\" is no status that refuses a call: these are numbers from 300 to 699"))?;
    let (name, table) = table_of(config, trunk)?;
    let rule = table.cause_rule(status, None);
    let location = table.release_of(status, None).location;
    if as_json {
        return Ok(json!({
            "status": status, "trunk": name, "profile": table.profile.as_str(), "location": location.as_token(),
            "cause": to_json(rule, |cause| json!(cause.value())),
        })
        .to_string());
    }
    let named = |cause: Cause| format!("{cause} {}", interwork::name_of(cause).unwrap_or(""));
    let mut text = format!("status {status}  {}\n", phrase(status));
    text += &head(&name, table);
    text += &line("cause", rule, named);
    text += &format!("  location    {}\n", location.as_token());
    text += "  Reason      a Q.850 cause in the response wins over this row (RFC 6432)\n";
    Ok(text)
}

fn phrase(status: u16) -> &'static str {
    tipring::sip::reason_phrase(status)
}

fn head(trunk: &str, table: &Interworking) -> String {
    format!("  table       {} of {trunk}\n", table.profile.as_str())
}

fn line<V: Copy>(what: &str, rule: Rule<V>, show: impl Fn(V) -> String) -> String {
    let mut text = format!("  {what:<10}  {}\n  source      {}", show(rule.value), rule.source);
    if !rule.verified {
        text += " (unverified: the text of the source was not at hand)";
    }
    text.push('\n');
    if let Some(instead) = rule.instead_of {
        text += &format!("  instead of  {}\n", show(instead));
    }
    text
}

fn to_json<V: Copy>(rule: Rule<V>, show: impl Fn(V) -> serde_json::Value) -> serde_json::Value {
    json!({
        "value": show(rule.value), "source": rule.source, "verified": rule.verified,
        "instead-of": rule.instead_of.map(&show),
    })
}

//! `tipring explain NUMBER --from phone/201`: why a number goes where it goes; `explain call N`: what became of a call.

use super::{Answer, ControlArgs, ExplainArgs, config, explain_table};
use serde_json::json;
use tipring::config::Config;
use tipring::dialplan::{Completeness, Decision, Refusal, Verdict, is_inside};

/// `tipring explain`, `tipring dialplan explain`
pub(super) fn explain(args: &ExplainArgs) -> Answer {
    let trunk = args.trunk.as_deref();
    match (args.number.as_str(), args.value.as_deref(), args.from.as_deref()) {
        ("cause", Some(value), None) => explain_table::cause(&config::load(&args.file)?, value, trunk, args.json),
        ("status", Some(value), None) => explain_table::status(&config::load(&args.file)?, value, trunk, args.json),
        (number, None, Some(from)) if trunk.is_none() => explain_number(args, number, from),
        ("call", Some(value), None) if trunk.is_none() => match value.parse() {
            Ok(call) => explain_call(args, call),
            Err(_) => Err(format!("\"{value}\" is no call: its number stands in `tipring calls` and in the log")),
        },
        ("call", ..) => usage("explain call wants the number of a call, and neither --from nor --trunk"),
        ("cause" | "status", ..) => usage("explain cause and explain status want one number and no --from"),
        (_, Some(value), _) => usage(&format!("unexpected argument '{value}'")),
        (_, None, None) => usage("--from KIND/NAME is missing: who dials decides where a number goes"),
        _ => usage("--trunk belongs to explain cause and explain status"),
    }
}

/// `tipring explain call NUMBER`: what the running gateway knows of it.
fn explain_call(args: &ExplainArgs, call: u64) -> Answer {
    let control = ControlArgs { control: args.control.clone(), config: args.file.config.clone() };
    super::gateway::explain_call(call, args.json, &control)
}

/// Wrong usage, as the parser of arguments would say it: exit code 2.
fn usage(complaint: &str) -> ! {
    use clap::CommandFactory;
    let mut command = super::Cli::command();
    command.build();
    let mut explain = command.find_subcommand("explain").cloned().unwrap_or(command);
    explain.error(clap::error::ErrorKind::MissingRequiredArgument, complaint).exit()
}

fn explain_number(args: &ExplainArgs, number: &str, from: &str) -> Answer {
    let config = config::load(&args.file)?;
    check_caller(&config, from)?;
    let inside = is_inside(from);
    let decision = config.plan.route(from, inside, number);
    let completeness = config.plan.completeness(from, inside, number);
    if args.json {
        Ok(to_json(from, &decision, completeness))
    } else {
        Ok(to_text(from, &config, &decision, completeness))
    }
}

/// Refuses callers that the configuration does not know: their answer would be of no use.
fn check_caller(config: &Config, from: &str) -> Result<(), String> {
    let names: Vec<String> = [
        config.phones.iter().map(|phone| format!("phone/{}", phone.name)).collect::<Vec<_>>(),
        config.stations.iter().map(|station| format!("station/{}", station.name)).collect(),
        config.lines.iter().map(|line| format!("line/{}", line.name)).collect(),
        config.trunks.iter().map(|trunk| format!("trunk/{}", trunk.name)).collect(),
        config.isups.iter().map(|isup| format!("isup/{}", isup.name)).collect(),
    ]
    .concat();
    if names.iter().any(|name| name == from) {
        return Ok(());
    }
    Err(format!("nobody is called {from}; there are: {}", names.join(", ")))
}

fn to_text(from: &str, config: &Config, decision: &Decision, completeness: Completeness) -> String {
    let side = if is_inside(from) { "inside" } else { "outside" };
    let mut text = format!("{} dialled by {from} ({side})\n", decision.dialled);
    let mut rows: Vec<[&str; 4]> = Vec::new();
    if let Some(chosen) = &decision.chosen {
        rows.push([&chosen.place, &chosen.name, &chosen.pattern, "chosen: narrowest that serves this caller"]);
    }
    rows.extend(decision.considered.iter().map(|c| [c.place.as_str(), c.name.as_str(), c.pattern.as_str(), c.why]));
    if rows.is_empty() {
        text.push_str("  routes      none accepts this number\n");
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for (index, [place, name, pattern, why]) in rows.iter().enumerate() {
        let head = if index == 0 { "routes" } else { "" };
        let [a, b, c] = widths;
        text.push_str(&format!("  {head:<10}  {place:<a$}  {name:<b$}  {pattern:<c$}  {why}\n"));
    }
    match &decision.verdict {
        Verdict::Targets(targets) => {
            for (index, target) in targets.iter().enumerate() {
                let head = if index == 0 { "would try" } else { "" };
                text.push_str(&format!("  {head:<10}  {target}, sends {}\n", decision.number));
            }
        }
        Verdict::Ring(steps) => {
            for (index, step) in steps.iter().enumerate() {
                let head = if index == 0 { "would ring" } else { "then" };
                let all = step.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let time = step.rings_for.map_or_else(String::new, |time| format!(" for {time:?}"));
                text.push_str(&format!("  {head:<10}  {all}{time}\n"));
            }
        }
        Verdict::Refused(refusal) => {
            let (status, cause, why) = (refusal.status(), refusal.cause(), in_words(*refusal));
            text.push_str(&format!("  refused     {status}, cause {cause} ({}): {why}\n", refusal.as_str()));
        }
    }
    let dialling = match completeness {
        Completeness::Complete => "complete at the last digit".to_owned(),
        Completeness::CompleteMayGrow => {
            format!("complete, and more could follow: a telephone waits {:?}", config.dialling.complete)
        }
        Completeness::Incomplete => {
            format!("not complete: a telephone waits {:?} for more", config.dialling.next_digit)
        }
        Completeness::Impossible => "no digits can make it a number: reorder tone at once".to_owned(),
    };
    text + &format!("  dialling    {dialling}\n")
}

fn in_words(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unassigned => "nobody has this number",
        Refusal::NoRoute => "the number exists, but not for this caller",
        Refusal::Incomplete => "more digits are needed",
        _ => "the route says so",
    }
}

fn to_json(from: &str, decision: &Decision, completeness: Completeness) -> String {
    let (targets, refused) = match &decision.verdict {
        Verdict::Targets(targets) => (targets.iter().map(ToString::to_string).collect::<Vec<_>>(), None),
        Verdict::Ring(steps) => (steps.iter().flat_map(|step| &step.targets).map(ToString::to_string).collect(), None),
        Verdict::Refused(refusal) => (Vec::new(), Some(refusal)),
    };
    let considered = |c: &tipring::dialplan::Considered| json!({ "route": c.name, "place": c.place, "pattern": c.pattern, "why": c.why });
    let dialling = match completeness {
        Completeness::Complete => "complete",
        Completeness::CompleteMayGrow => "complete-may-grow",
        Completeness::Incomplete => "incomplete",
        Completeness::Impossible => "impossible",
    };
    json!({
        "dialled": decision.dialled,
        "from": from,
        "inside": is_inside(from),
        "route": decision.chosen.as_ref().map(|c| &c.name),
        "place": decision.chosen.as_ref().map(|c| &c.place),
        "pattern": decision.chosen.as_ref().map(|c| &c.pattern),
        "targets": targets,
        "number": decision.number,
        "refused": refused.map(|r| json!({ "reason": r.as_str(), "status": r.status(), "cause": r.cause() })),
        "considered": decision.considered.iter().map(considered).collect::<Vec<_>>(),
        "dialling": dialling,
    })
    .to_string()
}

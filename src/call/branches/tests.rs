use super::*;
use crate::trunk::Location;

const FREE: TrunkEvent = TrunkEvent::Acm { status: CalledStatus::SubscriberFree, in_band: false };
const ANNOUNCES: TrunkEvent = TrunkEvent::Acm { status: CalledStatus::NoIndication, in_band: true };
const PROGRESS: TrunkEvent = TrunkEvent::Cpg { event: Progress::Progress, in_band: false };
const BUSY: Release = Release { cause: Cause::BUSY, location: Location::User };
const LOST: Release = Release { cause: Cause::NON_SELECTED, location: Location::LocalNetwork };

const A: BranchId = BranchId(0);
const B: BranchId = BranchId(1);
const C: BranchId = BranchId(2);

fn of_different_parties(count: u16) -> Branches {
    let mut branches = Branches::default();
    for party in 0..count {
        branches.ring(Party(party));
    }
    branches
}

impl Branches {
    fn hear(&mut self, id: BranchId, event: TrunkEvent) -> Vec<Do> {
        self.heard_from(id, &event, None, true)
    }

    fn refuse(&mut self, id: BranchId, status: u16) -> Vec<Do> {
        let event = TrunkEvent::Rel(interwork::release_of(status));
        self.heard_from(id, &event, Some(status), true)
    }
}

fn rel(release: Release) -> TrunkEvent {
    TrunkEvent::Rel(release)
}

#[test]
fn a_single_branch_is_passed_on_word_for_word() {
    let mut branches = of_different_parties(1);
    assert_eq!(branches.hear(A, FREE), [Do::Say(FREE)]);
    assert_eq!(branches.hear(A, PROGRESS), [Do::Say(PROGRESS)]);
    let forwarded = TrunkEvent::Cpg { event: Progress::Forwarded, in_band: false };
    assert_eq!(branches.hear(A, forwarded.clone()), [Do::Say(forwarded)]);
    assert_eq!(branches.hear(A, ANNOUNCES), [Do::Hear(A), Do::Say(ANNOUNCES)]);
    assert_eq!(branches.hear(A, TrunkEvent::Anm), [Do::Win(A), Do::Say(TrunkEvent::Anm)]);
    assert!(branches.is_empty() && !branches.is_open());
}

#[test]
fn the_first_answer_wins_and_the_others_are_released_with_cause_26() {
    let mut branches = of_different_parties(3);
    assert_eq!(branches.hear(A, FREE), [Do::Say(FREE)]);
    assert_eq!(branches.hear(B, FREE), [], "the caller knows that it rings");
    let won = branches.hear(B, TrunkEvent::Anm);
    let expected = [Do::Tell(A, rel(LOST)), Do::Tell(C, rel(LOST)), Do::Win(B), Do::Say(TrunkEvent::Anm)];
    assert_eq!(won, expected);
    assert_eq!(branches.hear(A, TrunkEvent::Rlc), [Do::Gone(A)]);
    assert_eq!(branches.hear(C, TrunkEvent::Rlc), [Do::Gone(C)]);
    assert!(branches.is_empty());
}

#[test]
fn a_second_answer_at_the_same_time_changes_nothing() {
    let mut branches = of_different_parties(2);
    branches.hear(A, TrunkEvent::Con);
    assert_eq!(branches.hear(B, TrunkEvent::Con), [], "it was released, and its leg says BYE");
    assert_eq!(branches.hear(B, rel(BUSY)), [Do::Tell(B, TrunkEvent::Rlc), Do::Gone(B)], "crossed");
    assert_eq!(branches.hear(A, TrunkEvent::Anm), [], "the winner is none of the branches any more");
}

#[test]
fn a_caller_who_gives_up_while_somebody_answers_has_given_up() {
    let mut branches = of_different_parties(2);
    let normal = Release::user(Cause::NORMAL);
    assert_eq!(branches.release(normal), [Do::Tell(A, rel(normal)), Do::Tell(B, rel(normal))]);
    assert_eq!(branches.hear(A, TrunkEvent::Anm), []);
    assert_eq!(branches.hear(A, TrunkEvent::Rlc), [Do::Gone(A)]);
    assert_eq!(branches.hear(B, TrunkEvent::Rlc), [Do::Gone(B), Do::Say(TrunkEvent::Rlc)]);
    assert_eq!(branches.release(normal), []);
}

#[test]
fn a_release_of_a_fork_without_branches_is_answered_at_once() {
    assert_eq!(Branches::default().release(BUSY), [Do::Say(TrunkEvent::Rlc)]);
}

#[test]
fn the_caller_hears_the_first_branch_with_media_and_nobody_else() {
    let mut branches = of_different_parties(3);
    branches.hear(A, FREE);
    assert_eq!(branches.hear(B, ANNOUNCES), [Do::Hear(B), Do::Say(ANNOUNCES)]);
    assert_eq!(branches.hear(C, ANNOUNCES), [], "two cannot be heard");
    assert_eq!(branches.hear(C, FREE), [], "nor can ringback");
    let more = TrunkEvent::Cpg { event: Progress::InBand, in_band: true };
    assert_eq!(branches.hear(B, more.clone()), [Do::Say(more)]);
    // When the one that is heard ends, the others ring anew for the caller.
    assert_eq!(branches.refuse(B, 486), [Do::Tell(B, TrunkEvent::Rlc), Do::Gone(B)]);
    assert_eq!(branches.heard(), None);
    assert_eq!(branches.hear(C, FREE), [Do::Say(FREE)]);
}

#[test]
fn media_that_cannot_be_carried_is_progress() {
    let mut branches = of_different_parties(1);
    let plain = TrunkEvent::Acm { status: CalledStatus::NoIndication, in_band: false };
    assert_eq!(branches.heard_from(A, &ANNOUNCES, None, false), [Do::Say(plain)]);
    let in_band = TrunkEvent::Cpg { event: Progress::InBand, in_band: true };
    assert_eq!(branches.heard_from(A, &in_band, None, false), [Do::Say(PROGRESS)]);
}

#[test]
fn progress_without_media_does_not_stop_the_ringback_of_another_branch() {
    let mut branches = of_different_parties(2);
    assert_eq!(branches.hear(A, FREE), [Do::Say(FREE)]);
    let plain = TrunkEvent::Acm { status: CalledStatus::NoIndication, in_band: false };
    assert_eq!(branches.hear(B, plain), []);
    assert_eq!(branches.hear(B, PROGRESS), []);
}

#[test]
fn when_all_have_failed_the_best_failure_counts() {
    // Statuses in the order in which they come, and the one that the caller is told (16.7 step 6).
    let table: &[(&[u16], u16)] = &[
        (&[486], 486),
        (&[500, 486], 486),
        (&[486, 500], 486),
        (&[503, 500], 500),
        (&[404, 484, 486], 484),
        (&[480, 486], 486),
        (&[404, 480], 404),
        (&[486, 302], 302),
        (&[302, 404], 302),
    ];
    for (statuses, told) in table {
        let mut branches = of_different_parties(statuses.len() as u16);
        for (at, status) in statuses.iter().enumerate() {
            let id = BranchId(at as u16);
            let mut expected = vec![Do::Tell(id, TrunkEvent::Rlc), Do::Gone(id)];
            if at + 1 == statuses.len() {
                expected.push(Do::AllFailed);
            }
            assert_eq!(branches.refuse(id, *status), expected, "{statuses:?}");
        }
        assert_eq!(branches.best().map(|best| best.status()), Some(*told), "{statuses:?}");
    }
}

#[test]
fn a_6xx_ends_the_contacts_of_its_party_and_is_the_answer() {
    let mut branches = Branches::default();
    let (a, b, other) = (branches.ring(Party(0)), branches.ring(Party(0)), branches.ring(Party(1)));
    let declined = interwork::release_of(603);
    let actions = branches.refuse(a, 603);
    assert_eq!(actions, [Do::Tell(a, TrunkEvent::Rlc), Do::Gone(a), Do::Tell(b, rel(declined))]);
    assert!(branches.has_declined(Party(0)) && !branches.has_declined(Party(1)));
    branches.hear(b, TrunkEvent::Rlc);
    assert_eq!(branches.refuse(other, 486).last(), Some(&Do::AllFailed));
    assert_eq!(branches.best().map(|best| best.status()), Some(603));
}

#[test]
fn those_that_rang_long_enough_are_released_and_the_next_may_come() {
    let mut branches = of_different_parties(2);
    branches.hear(A, FREE);
    let actions = branches.give_up();
    let (no_answer, no_response) = (Release::here(Cause::NO_ANSWER), Release::here(Cause::NO_RESPONSE));
    assert_eq!(actions, [Do::Tell(A, rel(no_answer)), Do::Tell(B, rel(no_response)), Do::AllFailed]);
    let third = branches.ring(Party(2));
    assert_eq!(branches.hear(A, TrunkEvent::Anm), [], "too late");
    assert_eq!(branches.hear(A, TrunkEvent::Rlc), [Do::Gone(A)]);
    assert_eq!(branches.hear(third, TrunkEvent::Con), [Do::Win(third), Do::Say(TrunkEvent::Con)]);
}

#[test]
fn a_branch_that_was_redirected_is_no_failure() {
    let mut branches = of_different_parties(1);
    let next = branches.ring(Party(0));
    assert_eq!(branches.replaced(A), [Do::Tell(A, TrunkEvent::Rlc), Do::Gone(A)]);
    assert_eq!((branches.best(), branches.rings()), (None, true));
    assert_eq!(branches.replaced(next).last(), Some(&Do::AllFailed));
}

/// Every order of up to four events of three branches, of which two are one party.
#[test]
fn in_every_order_of_events_one_wins_and_everybody_else_is_released() {
    let failed = |status| (TrunkEvent::Rel(interwork::release_of(status)), Some(status));
    let says =
        [(FREE, None), (ANNOUNCES, None), (TrunkEvent::Anm, None), (TrunkEvent::Rlc, None), failed(486), failed(600)];
    // 0 to 17: a branch says something. 18: time is over. 19: the caller gives up.
    let mut path = vec![0_usize];
    while let Some(last) = path.last().copied() {
        run(&path, &says);
        if path.len() < 4 {
            path.push(0);
            continue;
        }
        let mut next = last + 1;
        path.pop();
        while next == 20 {
            let Some(before) = path.pop() else { return };
            next = before + 1;
        }
        path.push(next);
    }
}

fn run(path: &[usize], says: &[(TrunkEvent, Option<u16>)]) {
    let mut branches = Branches::default();
    let ids = [branches.ring(Party(0)), branches.ring(Party(0)), branches.ring(Party(1))];
    let (mut won, mut rlc, mut released, mut gone) = (Vec::new(), 0, Vec::new(), Vec::new());
    let mut has_given_up = false;
    let mut steps: Vec<Vec<Do>> = Vec::new();
    for event in path {
        let actions = match event {
            18 => branches.give_up(),
            19 => {
                has_given_up = true;
                branches.release(BUSY)
            }
            event => {
                let (said, status) = &says[event % 6];
                branches.heard_from(ids[event / 6], said, *status, true)
            }
        };
        steps.push(actions);
    }
    // Whoever was released says RLC in the end.
    for id in ids {
        steps.push(branches.heard_from(id, &TrunkEvent::Rlc, None, true));
    }
    for actions in steps {
        for action in actions {
            match action {
                Do::Win(id) => won.push(id),
                Do::Say(TrunkEvent::Rlc) => rlc += 1,
                Do::Tell(id, TrunkEvent::Rel(_)) => released.push(id),
                Do::Gone(id) => gone.push(id),
                Do::Say(event) => assert!(!matches!(event, TrunkEvent::Rel(_)), "{path:?}"),
                _ => {}
            }
        }
    }
    assert!(won.len() <= 1 && rlc <= 1, "{path:?}: {won:?} {rlc}");
    assert!(rlc != 1 || won.is_empty(), "{path:?}: a fork ends or is won");
    for id in ids {
        let times = gone.iter().filter(|g| **g == id).count();
        assert!(times <= 1 && released.iter().filter(|r| **r == id).count() <= 1, "{path:?}: {id:?} once");
        assert!(!(won.contains(&id) && (times > 0 || released.contains(&id))), "{path:?}: the winner stays");
    }
    if !won.is_empty() || has_given_up {
        assert!(branches.is_empty(), "{path:?}: nobody is forgotten");
        assert!(has_given_up || gone.len() == 2, "{path:?}: the losers are gone");
    }
}

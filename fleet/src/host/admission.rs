//! Whether a request is begun here. No I/O and no clock: a simulation drives it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::{DEADLINE_LEEWAY, ID_WITHOUT_DEADLINE, IDS_REMEMBERED, TIMEOUT_MAX};
use crate::wire::message::Incoming;
use crate::wire::{Code, Request, RunId, Running, Time};

/// What is known of an id until its request can no longer be begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Of the request's bytes.
    digest: u64,
    until: Time,
    /// It was not begun, and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rejected: Option<(Code, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept(Box<Request>),
    /// The same bytes again: its present status is the answer.
    Repeat,
    Reject(Code, String),
}

/// What else the decision depends on.
pub struct Present<'a> {
    pub now: Time,
    pub running: Option<&'a Running>,
    pub held: Option<&'a str>,
}

/// The memory of ids. It is on disk before a request is accepted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Admission {
    known: BTreeMap<RunId, Known>,
}

/// FNV-1a. Whoever makes two requests with one digest gets the first one's status for the second: nothing is begun.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Admission {
    pub fn known(&self, id: &RunId) -> Option<&Known> {
        self.known.get(id)
    }

    /// Decides, and remembers the id where that must not be decided otherwise later. The second value says whether the memory
    /// has changed.
    pub fn decide(&mut self, incoming: &Incoming, bytes: &[u8], present: &Present) -> (Verdict, bool) {
        let now = present.now;
        self.known.retain(|_, known| known.until >= now);
        if let Some(known) = self.known.get(&incoming.id) {
            let verdict = if known.digest == digest(bytes) {
                Verdict::Repeat
            } else {
                Verdict::Reject(Code::DuplicateId, "this id was another request's".to_owned())
            };
            return (verdict, false);
        }
        if let Some(why) = self.unfit_in_time(incoming, now) {
            return (why, false);
        }
        let verdict = self.consider(incoming, present);
        let rejected = match &verdict {
            Verdict::Reject(code, why) => Some((*code, why.clone())),
            _ => None,
        };
        let until = incoming.deadline.map_or(now.plus_ms(ID_WITHOUT_DEADLINE.as_millis() as u64), |deadline| {
            deadline.plus_ms(DEADLINE_LEEWAY.as_millis() as u64)
        });
        self.known.insert(incoming.id.clone(), Known { digest: digest(bytes), until, rejected });
        (verdict, true)
    }

    /// What cannot be remembered for long enough, or is over.
    fn unfit_in_time(&self, incoming: &Incoming, now: Time) -> Option<Verdict> {
        let leeway = DEADLINE_LEEWAY.as_millis() as u64;
        let reject = |code, why: String| Some(Verdict::Reject(code, why));
        if let Some(deadline) = incoming.deadline {
            if deadline.plus_ms(leeway) < now {
                return reject(Code::Expired, format!("its deadline {deadline} is over; here it is {now}"));
            }
            if deadline > now.plus_ms(TIMEOUT_MAX * 1_000 + leeway) {
                return reject(Code::Expired, format!("its deadline {deadline} is over a day away; here it is {now}"));
            }
        }
        if self.known.len() >= IDS_REMEMBERED {
            let why = format!("{IDS_REMEMBERED} ids are remembered: whether this one is new can no longer be said");
            return reject(Code::DuplicateId, why);
        }
        None
    }

    fn consider(&self, incoming: &Incoming, present: &Present) -> Verdict {
        let request = match incoming.request() {
            Ok(request) => request,
            Err((code, why)) => return Verdict::Reject(code, why),
        };
        if let Some(reason) = present.held {
            return Verdict::Reject(Code::Held, format!("deploys are held on this host: {reason}"));
        }
        if let Some(running) = present.running {
            let by = running.by.as_deref().unwrap_or("an unnamed deployer");
            let why = format!("run {} goes on since {} for {by}", running.id, running.since);
            return Verdict::Reject(Code::AlreadyRunning, why);
        }
        Verdict::Accept(Box::new(request))
    }

    /// The state folder could not be written: the request was not begun, and will not be.
    pub fn forget(&mut self, id: &RunId) {
        self.known.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(id: &str, more: &str) -> Vec<u8> {
        format!(r#"{{"action":"switch","revision":"main","reply_to":"deploy.responses.x","id":"{id}"{more}}}"#)
            .into_bytes()
    }

    fn decide(admission: &mut Admission, bytes: &[u8], now: u64, held: Option<&str>) -> Verdict {
        let present = Present { now: Time(now), running: None, held };
        admission.decide(&Incoming::read(bytes).unwrap(), bytes, &present).0
    }

    fn code(verdict: &Verdict) -> Option<Code> {
        match verdict {
            Verdict::Reject(code, _) => Some(*code),
            _ => None,
        }
    }

    #[test]
    fn bad_input_an_id_is_begun_once_and_other_bytes_with_it_never() {
        let mut admission = Admission::default();
        let first = bytes("a", "");
        assert!(matches!(decide(&mut admission, &first, 0, None), Verdict::Accept(_)));
        assert_eq!(decide(&mut admission, &first, 1, None), Verdict::Repeat);
        let other = bytes("a", r#","branch":"x""#);
        assert_eq!(code(&decide(&mut admission, &other, 2, None)), Some(Code::DuplicateId));
    }

    #[test]
    fn bad_input_a_rejected_request_stays_rejected() {
        let mut admission = Admission::default();
        let request = bytes("a", "");
        assert_eq!(code(&decide(&mut admission, &request, 0, Some("work"))), Some(Code::Held));
        assert_eq!(decide(&mut admission, &request, 1, None), Verdict::Repeat);
        let id = "a".parse().unwrap();
        assert_eq!(admission.known(&id).unwrap().rejected.as_ref().unwrap().0, Code::Held);
    }

    #[test]
    fn bad_input_deadlines_have_thirty_seconds_of_leeway_and_a_day_at_most() {
        let day = 86_400_000;
        let request = |id: &str, deadline: u64| bytes(id, &format!(r#","deadline":"{}""#, Time(deadline)));
        let mut admission = Admission::default();
        assert!(matches!(decide(&mut admission, &request("a", day), day + 30_000, None), Verdict::Accept(_)));
        assert_eq!(code(&decide(&mut admission, &request("b", day), day + 30_001, None)), Some(Code::Expired));
        assert_eq!(code(&decide(&mut admission, &request("c", 3 * day), day, None)), Some(Code::Expired));
        // An id is forgotten only when its request has expired.
        assert_eq!(code(&decide(&mut admission, &request("a", day), day + 30_001, None)), Some(Code::Expired));
    }

    #[test]
    fn bad_input_a_full_memory_rejects() {
        let mut admission = Admission::default();
        for number in 0..IDS_REMEMBERED {
            decide(&mut admission, &bytes(&number.to_string(), ""), 0, None);
        }
        assert_eq!(code(&decide(&mut admission, &bytes("new", ""), 0, None)), Some(Code::DuplicateId));
        let later = ID_WITHOUT_DEADLINE.as_millis() as u64 + 1;
        assert!(matches!(decide(&mut admission, &bytes("new", ""), later, None), Verdict::Accept(_)));
    }
}

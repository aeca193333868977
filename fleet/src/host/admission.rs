//! Whether a request is begun here. No I/O and no clock: a simulation drives it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::{IDS_REMEMBERED, LEEWAY_MS, TIMEOUT_MAX};
use crate::wire::message::Incoming;
use crate::wire::{Code, Request, RunId, Running, Time};

/// What is known of an id until its request can no longer be begun.
#[derive(Serialize, Deserialize)]
struct Known {
    /// Of the request's bytes.
    digest: u64,
    until: Time,
    /// It was not begun, and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    rejected: Option<(Code, String)>,
}

#[derive(Debug, PartialEq)]
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
#[derive(Default, Serialize, Deserialize)]
pub struct Admission {
    known: BTreeMap<RunId, Known>,
}

/// FNV-1a. Whoever makes two requests with one digest gets the first one's status for the second: nothing is begun.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Admission {
    /// Why a request was not begun.
    pub fn rejected(&self, id: &RunId) -> Option<(Code, String)> {
        self.known.get(id)?.rejected.clone()
    }

    /// Decides, and remembers the id where that must not be decided otherwise later. The second value says whether the memory
    /// has changed.
    pub fn decide(&mut self, incoming: &Incoming, bytes: &[u8], present: &Present) -> (Verdict, bool) {
        let now = present.now;
        let id = incoming.id();
        self.known.retain(|_, known| known.until >= now);
        match self.known.get(&id) {
            Some(known) if known.digest == digest(bytes) => return (Verdict::Repeat, false),
            Some(_) => {
                return (Verdict::Reject(Code::DuplicateId, "this id was another request's".to_owned()), false);
            }
            None => {}
        }
        if let Err((code, why)) = self.fits_in_time(incoming, now) {
            return (Verdict::Reject(code, why), false);
        }
        let considered = consider(incoming, present);
        let until = match incoming.deadline {
            Some(deadline) => deadline.plus_ms(LEEWAY_MS),
            None => now.plus_ms(TIMEOUT_MAX * 1_000),
        };
        self.known.insert(id, Known { digest: digest(bytes), until, rejected: considered.as_ref().err().cloned() });
        let verdict = match considered {
            Ok(request) => Verdict::Accept(Box::new(request)),
            Err((code, why)) => Verdict::Reject(code, why),
        };
        (verdict, true)
    }

    /// Not what cannot be remembered for long enough, or is over.
    fn fits_in_time(&self, incoming: &Incoming, now: Time) -> Result<(), (Code, String)> {
        if let Some(deadline) = incoming.deadline {
            if deadline.plus_ms(LEEWAY_MS) < now {
                return Err((Code::Expired, format!("its deadline {deadline} is over; here it is {now}")));
            }
            if deadline > now.plus_ms(TIMEOUT_MAX * 1_000 + LEEWAY_MS) {
                return Err((Code::Expired, format!("its deadline {deadline} is over a day away; here it is {now}")));
            }
        }
        if self.known.len() >= IDS_REMEMBERED {
            let why = format!("{IDS_REMEMBERED} ids are remembered: whether this one is new can no longer be said");
            return Err((Code::DuplicateId, why));
        }
        Ok(())
    }

    /// The state folder could not be written: the request was not begun, and will not be.
    pub fn forget(&mut self, id: &RunId) {
        self.known.remove(id);
    }
}

fn consider(incoming: &Incoming, present: &Present) -> Result<Request, (Code, String)> {
    let request = incoming.request()?;
    if let Some(reason) = present.held {
        return Err((Code::Held, format!("deploys are held on this host: {reason}")));
    }
    if let Some(Running { id, since, by }) = present.running {
        let by = by.as_deref().unwrap_or("an unnamed deployer");
        return Err((Code::AlreadyRunning, format!("run {id} goes on since {since} for {by}")));
    }
    Ok(request)
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
        assert_eq!(admission.rejected(&id).unwrap().0, Code::Held);
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
        let later = TIMEOUT_MAX * 1_000 + 1;
        assert!(matches!(decide(&mut admission, &bytes("new", ""), later, None), Verdict::Accept(_)));
    }
}

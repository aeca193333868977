//! From a request to a run that can be followed: routing, the gates, room in the queue, the start.

use std::time::SystemTime;

use crate::config::{Config, Endpoint, Job, Settings};
use crate::gate::{self, Gates, Keys, Memory, Permitted, Reader, Refusal, Request};
use crate::limits::QUEUE_RETRY_AFTER;
use crate::queue::{self, Complaints, Follower, Reservation, ReserveError, RunId, RunRequest};
use crate::session::slots::{self, Slot};

/// What an admission needs to know.
pub struct Admission<'a> {
    /// All of it.
    pub config: &'a Config,
    /// For the run, which makes its own sense of them.
    pub settings: &'a Settings,
    /// Recorded with the run.
    pub request_id: &'a str,
}

/// A caller that may follow a run.
pub struct Admitted {
    /// The run's log, from its start.
    pub follower: Follower,
    /// Its place among the followers.
    pub slot: Slot,
    /// What becomes of the run when this caller goes.
    pub without_caller: WithoutCaller,
}

/// What becomes of a run when its caller goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutCaller {
    /// It goes on to its end: it changes something.
    GoesOn,
    /// It is asked to end: it was for the caller alone.
    IsCancelled,
}

impl Admission<'_> {
    /// What `request` asks for, if it may have it.
    ///
    /// # Errors
    /// The first gate that is shut.
    pub fn of(&self, request: &Request) -> Result<Admitted, Refusal> {
        let memory = Memory::of(&self.config.places.state);
        let fetch = || gate::fetch_keys(self.config);
        let gates = self.gates(&memory, &fetch);
        match (request.method.as_str(), log_path(&request.path)) {
            ("GET", Some(id)) => self.read(request, &gates, id),
            ("POST", _) => self.start(request, &gates),
            _ => Err(Refusal::UnknownRun),
        }
    }

    /// `POST` to an endpoint: a new run.
    fn start(&self, request: &Request, gates: &Gates<'_>) -> Result<Admitted, Refusal> {
        // Front knows the endpoints' names; one that relays another path has been taken over.
        let endpoint = self
            .config
            .endpoint_at(&request.path)
            .ok_or(Refusal::UnknownRun)?;
        let now = SystemTime::now();
        let permitted = gate::permit(request, endpoint, gates, now)?;
        let slot = self.place_for_a_follower()?;
        let reservation = self.reserve(&permitted, now)?;
        let id = reservation.id().clone();
        let grant = gate::admit(permitted, id.as_str(), gates, now)?;
        log::info!(
            "request {} of {}: {} admitted as run {id}",
            self.request_id,
            request.peer,
            grant.permitted().endpoint()
        );
        // Opened first: a run that could not be started is a dead run, and its follower has it recorded.
        let follower = self.follow(grant.reader())?;
        if let Err(error) = reservation.start(grant.into(), self.settings, Complaints::ToOurLog) {
            log::error!("start run {id}: {error}");
        }
        Ok(Admitted {
            follower,
            slot,
            without_caller: match endpoint.job {
                Job::TfPlan => WithoutCaller::IsCancelled,
                Job::Deploy | Job::TfApply | Job::TfDrift => WithoutCaller::GoesOn,
            },
        })
    }

    /// `GET /runs/<id>/log`: a run that is there.
    fn read(&self, request: &Request, gates: &Gates<'_>, id: &str) -> Result<Admitted, Refusal> {
        let now = SystemTime::now();
        let run = RunId::parse(id).and_then(|id| Some((self.endpoint_of(&id)?, id)));
        // An unknown id is judged by the first endpoint's pins: only who may read logs learns that there is none.
        let endpoint = run
            .as_ref()
            .map_or(self.config.endpoints().next(), |(endpoint, _)| Some(*endpoint));
        let endpoint = endpoint.ok_or(Refusal::UnknownRun)?;
        let reader = gate::admit_reader(request, endpoint, gates, now, id)?;
        if run.is_none() {
            return Err(Refusal::UnknownRun);
        }
        let slot = self.place_for_a_follower()?;
        Ok(Admitted {
            follower: self.follow(reader)?,
            slot,
            // Whoever only reads along takes nothing from anybody.
            without_caller: WithoutCaller::GoesOn,
        })
    }

    fn endpoint_of(&self, id: &RunId) -> Option<&Endpoint> {
        let order = queue::RunFolder::of(&self.config.places, id).order().ok()??;
        self.config.endpoint_named(&order.endpoint)
    }

    /// Room in the queue, given back when the token turns out to be spent.
    fn reserve(&self, permitted: &Permitted, now: SystemTime) -> Result<Reservation, Refusal> {
        let id = RunId::new(now).map_err(|error| Refusal::Run {
            detail: format!("name the run: {error}"),
        })?;
        let order = RunRequest::of_token(permitted, &id, self.request_id, now);
        queue::reserve(&self.config.places, self.config.runs.queue_max, order).map_err(|error| match error {
            ReserveError::Full => Refusal::QueueFull {
                retry_after: QUEUE_RETRY_AFTER,
            },
            ReserveError::Failed(detail) => Refusal::Run { detail },
        })
    }

    fn place_for_a_follower(&self) -> Result<Slot, Refusal> {
        let config = self.config;
        match slots::for_follower(&config.places.slots(), config.caps) {
            Ok(slot) => slot.ok_or(Refusal::TooManyFollowers),
            Err(error) => Err(Refusal::Run {
                detail: format!("take a place among the followers: {error}"),
            }),
        }
    }

    fn follow(&self, reader: Reader) -> Result<Follower, Refusal> {
        Follower::open(&self.config.places, reader, self.settings).ok_or(Refusal::UnknownRun)
    }

    fn gates<'g>(&'g self, memory: &'g Memory, fetch: gate::Fetch<'g>) -> Gates<'g> {
        let Config {
            places,
            issuer,
            allowed,
            ..
        } = self.config;
        let keys = Keys::new(&places.state, &places.runtime, &issuer.jwks_url, fetch);
        Gates {
            allowed,
            issuer: &issuer.name,
            keys,
            memory,
        }
    }
}

/// The id in `/runs/<id>/log`.
fn log_path(path: &str) -> Option<&str> {
    path.strip_prefix("/runs/")?.strip_suffix("/log")
}

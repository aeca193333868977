//! From a request to a run that can be followed: routing, the gates, room in the queue, the start.

use std::net::IpAddr;
use std::time::SystemTime;

use crate::config::{Config, Job, Settings};
use crate::gate::{self, Gates, Permitted, Reader, Refusal, Result};
use crate::link::{Request, log_path};
use crate::queue::{self, Follower, Reservation, RunFolder, RunId, RunRequest};
use crate::session::slots::{self, Slot};

/// What an admission needs to know.
pub struct Admission<'a> {
    pub config: &'a Config,
    /// For the run, which makes its own sense of them.
    pub settings: &'a Settings,
    /// Recorded with the run.
    pub request_id: &'a str,
    /// By the kernel's word.
    pub peer: IpAddr,
}

/// A caller that may follow a run.
pub struct Admitted {
    /// The run's log, from its start.
    pub follower: Follower,
    /// Its place among the followers.
    pub slot: Slot,
    /// Whether the run is asked to end when this caller goes: it changes nothing, and was for the caller alone.
    pub ends_with_caller: bool,
}

impl Admission<'_> {
    /// What `request` asks for, if it may have it.
    ///
    /// # Errors
    /// The first gate that is shut.
    pub fn of(&self, request: &Request) -> Result<Admitted> {
        let fetch = || gate::fetch_keys(self.config);
        let gates = Gates::of(self.config, &fetch, SystemTime::now());
        match (request.method.as_str(), log_path(&request.path)) {
            ("GET", Some(id)) => self.read(request, &gates, id),
            ("POST", _) => self.start(request, &gates),
            _ => Err(Refusal::UNKNOWN_RUN),
        }
    }

    /// `POST` to an endpoint: a new run.
    fn start(&self, request: &Request, gates: &Gates) -> Result<Admitted> {
        let (config, request_id, peer) = (self.config, self.request_id, self.peer);
        // Front knows the endpoints' names; one that relays another path has been taken over.
        let endpoint = config.endpoints().find(|one| one.path == request.path);
        let endpoint = endpoint.ok_or(Refusal::UNKNOWN_RUN)?;
        let permitted = gate::permit(peer, request, endpoint, gates)?;
        let slot = self.place_for_a_follower()?;
        let reservation = self.reserve(&permitted, gates.now)?;
        let id = reservation.id().clone();
        let grant = gate::admit(permitted, id.as_str(), gates)?;
        let name = endpoint.name;
        log::info!("request {request_id} of {peer}: {name} admitted as run {id}");
        // Opened first: a run that could not be started is a dead run, and its follower has it recorded.
        let follower = self.follow(grant.reader())?;
        if let Err(error) = reservation.start(grant.into(), self.settings) {
            log::error!("start run {id}: {error}");
        }
        Ok(Admitted {
            follower,
            slot,
            ends_with_caller: endpoint.job == Job::TfPlan,
        })
    }

    /// `GET /runs/<id>/log`: a run that is there.
    fn read(&self, request: &Request, gates: &Gates, id: &str) -> Result<Admitted> {
        let run = RunId::parse(id).and_then(|id| RunFolder::of(&self.config.places, &id).order().ok()?);
        let started_by = run.and_then(|run| self.config.endpoint_named(&run.endpoint));
        // An unknown id is judged by the first endpoint's pins: only who may read logs learns that there is none.
        let endpoint = started_by.or_else(|| self.config.endpoints().next());
        let endpoint = endpoint.ok_or(Refusal::UNKNOWN_RUN)?;
        let reader = gate::admit_reader(self.peer, request, endpoint, gates, id)?;
        if started_by.is_none() {
            return Err(Refusal::UNKNOWN_RUN);
        }
        let slot = self.place_for_a_follower()?;
        Ok(Admitted {
            follower: self.follow(reader)?,
            slot,
            // Whoever only reads along takes nothing from anybody.
            ends_with_caller: false,
        })
    }

    /// Room in the queue, given back when the token turns out to be spent.
    fn reserve(&self, permitted: &Permitted, now: SystemTime) -> Result<Reservation> {
        let id =
            RunId::new(now).map_err(|error| Refusal::RUN.because(format_args!("name the run: {error}")))?;
        let order = RunRequest::of_token(permitted, &id, self.request_id, now);
        queue::reserve(&self.config.places, self.config.runs.queue_max, order)
            .map_err(|fault| Refusal::RUN.because(fault))?
            .ok_or(Refusal::QUEUE_FULL)
    }

    fn place_for_a_follower(&self) -> Result<Slot> {
        let fault = |error| Refusal::RUN.because(format_args!("take a place among the followers: {error}"));
        let slot = slots::for_follower(&self.config.places.slots(), self.config.caps).map_err(fault)?;
        slot.ok_or(Refusal::TOO_MANY_FOLLOWERS)
    }

    fn follow(&self, reader: Reader) -> Result<Follower> {
        Follower::open(&self.config.places, reader, self.settings).ok_or(Refusal::UNKNOWN_RUN)
    }
}

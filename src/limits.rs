//! Every number that bounds something, with its reason.
//!
//! A bound that an operator may move is a default here and a setting in [`crate::config`]; the rest are fixed, so
//! that an auditor can read in one place how much of anything a stranger can make this program hold: here. What a run may
//! take, and what the operator may ask for, is in the file beneath.

mod work;

pub use work::*;

use std::time::Duration;

// ---- connections -------------------------------------------------------------------------------------------------

/// From the first byte to the end of the request: handshake, head and body together.
/// A phone on a bad line needs two; a peer that trickles gets this and no more.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// A caller that takes no byte of its answer for this long is let go; the run does not notice.
pub const STALLED_CALLER: Duration = Duration::from_secs(60);

/// Silence on a stream after which a heartbeat line goes out. Proxies and NATs drop idle connections after 30 s or more.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// Waits between attempts to start a warm session after one that died without a connection: the first, and the longest.
pub const WARM_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A warm session that died so long after its start died of something new, and the waits begin anew: twice
/// [`WARM_DEADLINE`], by which one that cannot become ready is dead.
pub const WARM_CALM: Duration = Duration::from_secs(20);

/// How long a start that failed lasts at least, when whoever waits at the socket makes the supervisor start us at once
/// again: inetd shuts the port for ten minutes after 256 starts in one.
pub const SUPERVISOR_PAUSE: Duration = Duration::from_secs(1);

/// Listening sockets that a supervisor may hand over: two families on a few addresses. Each warm session polls them all.
pub const MAX_LISTENERS: usize = 16;

/// Between two looks at what runs, for whoever started us and wants to know, while something does. Changes of the folders
/// wake us as well; this is for those that inotify does not show.
pub const STATUS_EVERY: Duration = Duration::from_secs(10);

/// How long the first line waits for which syslog has no room: the kernel queues ten, and a burst is no hang. Those after
/// it are dropped until there is room again.
pub const SYSLOG_PATIENCE: Duration = Duration::from_millis(200);

/// Bytes of a line to syslog. rsyslog cuts at 8 KiB, sysklogd at 2 KiB; journald takes more.
pub const MAX_SYSLOG_LINE: usize = 8 * 1024;

/// Bytes of the list of sources on no list that the log has named this hour: some two hundred of them.
pub const MAX_STRANGERS: u64 = 4096;

// ---- HTTP --------------------------------------------------------------------------------------------------------

/// Bytes of a request head, request line and headers together. A token of 8 KiB fits with room to spare.
pub const MAX_HEAD: usize = 16 * 1024;

/// Bytes of a request target. The longest path of ours is `/runs/<id>/log`.
pub const MAX_TARGET: usize = 1024;

/// Headers of one request. curl sends five.
pub const MAX_HEADERS: usize = 64;

/// Bytes of a request body, decoded. The largest request of ours is under 300.
pub const MAX_BODY: usize = 4 * 1024;

/// Bytes of a body as sent, chunk framing included: one-byte chunks cost six bytes each.
pub const MAX_BODY_WIRE: usize = 8 * MAX_BODY;

/// Bytes of a chunk-size line of a request: eight digits and a short extension. No client of ours sends any.
pub const MAX_CHUNK_LINE: usize = 128;

/// Bytes that a caller may send while it waits for its answer; they are dropped, and past this not even read.
pub const MAX_LATE_INPUT: usize = 16 * 1024;

/// After an answer: how long, and how many bytes of what the caller had still under way, are taken and dropped before the
/// socket is closed. A reset would destroy an answer that the caller has not read yet.
pub const LINGER: Duration = Duration::from_secs(1);

/// See [`LINGER`].
pub const LINGER_BYTES: usize = 1024 * 1024;

/// Bytes of a certificate chain or key file. A chain of five with RSA keys is under 16 KiB.
pub const MAX_PEM: u64 = 256 * 1024;

/// Bytes of a public document. `/runs` with 50 entries is under 64 KiB.
pub const MAX_PUBLIC_FILE: u64 = 1024 * 1024;

// ---- tokens ------------------------------------------------------------------------------------------------------

/// Bytes of a compact token. GitHub's are about 1.5 KiB (RFC 8725 asks for a bound before any work).
pub const MAX_TOKEN: usize = 8 * 1024;

/// Bytes of a key id.
pub const MAX_KID: usize = 256;

/// Bytes of a `jti`. GitHub's is a UUID; nobody promises that.
pub const MAX_JTI: usize = 256;

/// How far the issuer's clock and ours may differ. The time checks and the life of a remembered `jti` use this one
/// constant: a record that died before its token's last second would open a replay window.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// Longest accepted distance from `iat` to `exp`. GitHub's tokens live 5 minutes; GitLab's may live an hour.
pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// Oldest accepted `iat`, whatever `exp` says.
pub const MAX_TOKEN_AGE: Duration = Duration::from_secs(3600);

/// Whole seconds above 2^53 are not exact in every JSON reader, so no time claim may be larger.
pub const MAX_TIME_CLAIM: u64 = 1 << 53;

// ---- keys over the network ---------------------------------------------------------------------------------------

/// Bytes of a key set. GitHub's is under 10 KiB.
pub const MAX_JWKS: usize = 64 * 1024;

/// Keys in one set.
pub const MAX_KEYS: usize = 64;

/// A fetched key set serves this long without a good fetch; this is how fast a withdrawn key dies at the latest.
pub const JWKS_MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// A key set older than this is fetched again when a request comes, but still serves when that fails.
pub const JWKS_SOFT_AGE: Duration = Duration::from_secs(6 * 3600);

/// Between two fetches, good or bad: a flood of unknown key ids must not become a flood at the issuer.
pub const JWKS_COOLDOWN: Duration = Duration::from_secs(60);

/// One outbound request, in all: name, connection, handshake, answer.
pub const FETCH_DEADLINE: Duration = Duration::from_secs(10);

/// Bytes of an outbound answer other than a key set: a health document.
pub const MAX_FETCH: usize = 64 * 1024;

// ---- the replay memory -------------------------------------------------------------------------------------------

/// Bytes of the memory's file: 131,070 records. The dead are dropped when it is full; who has used as many tokens within
/// the hour that one lives at most has to wait.
pub const MAX_REPLAY_FILE: usize = 16 * 1024 * 1024;

/// Records from which on dropping the dead ones is worth a rewrite of the file: 128 KiB, years of deploys. Rarer writes
/// spare a flash drive.
pub const REPLAY_PRUNE_FROM: usize = 1024;

/// A lock on a state file that is not had within this time is a failure, not a reason to hang.
pub const STATE_LOCK_WAIT: Duration = Duration::from_secs(5);

// ---- runs --------------------------------------------------------------------------------------------------------

/// What a caller is told to wait when the queue is full: about one short run.
pub const QUEUE_RETRY_AFTER: Duration = Duration::from_secs(30);

/// The most runs that `/runs` lists; DEPLOYER_KEEP_RUNS may be fewer.
pub const KEEP_RUNS: u32 = 50;

/// Every wait on a file is tried again this often, whatever inotify says or does not say.
pub const RETRY: Duration = Duration::from_millis(250);

/// Bytes of one run's log. Past it only the phases' own lines are written, without the tools' output.
pub const MAX_LOG: u64 = 64 * 1024 * 1024;

/// Bytes of a log that are written, read, or sent on to front at one time where there is so much: lines that are there
/// together travel together. The longest line of ours is a quarter of it.
pub const LOG_BLOCK: usize = 64 * 1024;

/// Bytes of one line of a tool's output; the rest of a longer one is cut, and said to be.
pub const MAX_LINE: usize = 8 * 1024;

/// From the one INT of a terraform plan to TERM: it ends the read it is in, which a provider may drag out, and gives back
/// its lock. KILL would leave the lock behind.
pub const INTERRUPT_PATIENCE: Duration = Duration::from_secs(60);

/// From a gentle end (TERM) to the hard one (KILL).
pub const KILL_AFTER: Duration = Duration::from_secs(10);

// ---- the link between front and session --------------------------------------------------------------------------

/// Bytes of one frame. The largest is a request: a token, a body and a head, each bounded above, escaped as JSON.
pub const MAX_FRAME: usize = 128 * 1024;

/// Log lines that front may send for one connection; a front that has been taken over cannot fill the log.
pub const MAX_FRONT_LOG_LINES: usize = 16;

/// Bytes of all settings together, and of anything else that is handed to a role or a tool on its standard input. Nobody
/// needs as much; what is longer is no settings file.
pub const MAX_SETTINGS: usize = 60 * 1024;

// ---- roles without privileges ------------------------------------------------------------------------------------

/// Address space of a fetch. The C library's resolver and TLS take under 40 MiB of it.
pub const FETCH_MEMORY: u64 = 256 * 1024 * 1024;

/// Descriptors of a fetch: standard streams, a socket, the resolver's files and sockets.
pub const FETCH_OPEN_FILES: u64 = 32;

/// Address space of a front. The executable, a handshake and one request take under 30 MiB of it.
pub const FRONT_MEMORY: u64 = 128 * 1024 * 1024;

/// Descriptors of a front: standard streams, the link, the connection, one public file.
pub const FRONT_OPEN_FILES: u64 = 16;

/// Processor seconds of a front. A handshake takes a few milliseconds, a log of 64 MiB about one second.
pub const FRONT_PROCESSOR_SECONDS: u64 = 60;

/// From the start of a warm session to its `ready`: certificate, key, privileges.
pub const WARM_DEADLINE: Duration = Duration::from_secs(10);

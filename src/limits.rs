//! Every number that bounds something, with its reason.
//!
//! A bound that an operator may move is a default here and a setting in [`crate::config`]; the rest are fixed, so
//! that an auditor can read in one place how much of anything a stranger can make this program hold.

use std::time::Duration;

// ---- connections -------------------------------------------------------------------------------------------------

/// From the first byte to the end of the request: handshake, head and body together.
/// A phone on a bad line needs two; a peer that trickles gets this and no more.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// A caller that takes no byte of its answer for this long is let go; the run does not notice.
pub const STALLED_CALLER: Duration = Duration::from_secs(60);

/// Silence on a stream after which a heartbeat line goes out. Proxies and NATs drop idle connections after 30 s or more.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// Connections not yet admitted, over all doors (`DEPLOYER_MAX_SESSIONS`).
pub const MAX_SESSIONS: u32 = 64;

/// The same for one source: an IPv4 address or an IPv6 /64 (`DEPLOYER_MAX_SESSIONS_PER_SOURCE`).
pub const MAX_SESSIONS_PER_SOURCE: u32 = 32;

/// Callers that follow a run at one time (`DEPLOYER_MAX_FOLLOWERS`).
pub const MAX_FOLLOWERS: u32 = 64;

/// Waits between attempts to start a warm session after one that died without a connection: the first, and the longest.
pub const WARM_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A warm session that died so long after its start died of something new, and the waits begin anew: twice
/// [`WARM_DEADLINE`], by which one that cannot become ready is dead.
pub const WARM_CALM: Duration = Duration::from_secs(20);

/// How long a start that failed lasts at least, when whoever waits at the socket makes our starter start us at once
/// again: inetd shuts the port for ten minutes after 256 starts in one.
pub const STARTER_PAUSE: Duration = Duration::from_secs(1);

/// Listening sockets that a starter may hand over: two families on a few addresses. Each warm session polls them all.
pub const MAX_LISTENERS: usize = 16;

/// Between two looks at what runs, for whoever started us and wants to know, while something does. Changes of the folders
/// wake us as well; this is for those that inotify does not show.
pub const STATUS_EVERY: Duration = Duration::from_secs(10);

/// How long the first line waits for which syslog has no room: the kernel queues ten, and a burst is no hang. Those after
/// it are dropped until there is room again.
pub const SYSLOG_PATIENCE: Duration = Duration::from_millis(200);

/// Bytes of a line to syslog. rsyslog cuts at 8 KiB, sysklogd at 2 KiB; journald takes more.
pub const MAX_SYSLOG_LINE: usize = 8 * 1024;

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

/// Bytes of the memory's file. 100,000 ids take about 10 MiB; past this something is wrong, and we refuse.
pub const MAX_REPLAY_FILE: u64 = 64 * 1024 * 1024;

/// Records from which on dropping the dead ones is worth a rewrite of the file: 110 KB, years of deploys. Rarer writes
/// spare a flash drive.
pub const REPLAY_PRUNE_FROM: usize = 1024;

/// A lock on a state file that is not had within this time is a failure, not a reason to hang.
pub const STATE_LOCK_WAIT: Duration = Duration::from_secs(5);

// ---- runs --------------------------------------------------------------------------------------------------------

/// Waiting runs (`DEPLOYER_QUEUE_MAX`).
pub const QUEUE_MAX: u32 = 32;

/// How long a run waits for its turn (`DEPLOYER_QUEUE_MAX_WAIT`).
pub const QUEUE_MAX_WAIT: Duration = Duration::from_secs(15 * 60);

/// How long a run may take from its turn on, the way forward (`DEPLOYER_RUN_MAX`).
pub const RUN_MAX: Duration = Duration::from_secs(15 * 60);

/// What a caller is told to wait when the queue is full: about one short run.
pub const QUEUE_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Run folders that are kept (`DEPLOYER_KEEP_RUNS`), and the most that `/runs` lists.
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
pub const GENTLY: Duration = Duration::from_secs(60);

/// From a gentle end (TERM) to the hard one (KILL).
pub const KILL_AFTER: Duration = Duration::from_secs(10);

// ---- the link between front and session --------------------------------------------------------------------------

/// Bytes of one frame. The largest is a request: a token, a body and a head, each bounded above, escaped as JSON.
pub const MAX_FRAME: usize = 128 * 1024;

/// Log lines that front may send for one connection; a front that has been taken over cannot fill the log.
pub const MAX_FRONT_LOG_LINES: usize = 16;

/// Bytes of all settings together, as handed to a role: they must fit into one pipe buffer (pipe(7): 64 KiB), so that
/// they are complete before the role starts.
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

// ---- a deploy ----------------------------------------------------------------------------------------------------

/// A look at docker, a tag, a rename, a start: seconds on a busy host, and a docker that takes longer hangs.
pub const DOCKER_QUICK: Duration = Duration::from_secs(30);

/// One attempt at pulling an image. A gigabyte over 20 Mbit/s takes seven minutes.
pub const PULL_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// All attempts. What fails and may be tried again fails early, so this is one long attempt and some short ones.
pub const PULL_STEP_DEADLINE: Duration = Duration::from_secs(11 * 60);

/// One look at an image.
pub const VERIFY_DEADLINE: Duration = DOCKER_QUICK;

/// One name for an image.
pub const TAG_DEADLINE: Duration = DOCKER_QUICK;

/// Reading some dozens of small files and writing one, on a flash drive.
pub const TEMPLATE_DEADLINE: Duration = Duration::from_secs(30);

/// Waits before a pull is tried again whose failure may pass by itself. A registry that restarts takes seconds; an
/// outage is for CI to try again.
pub const PULL_AGAIN: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
];

/// cosign: a few requests to the registry and to the transparency log.
pub const COSIGN_DEADLINE: Duration = Duration::from_secs(2 * 60);

/// Whether every container is there already: some looks at each, of which one may wait for [`STEADY`].
pub const ALREADY_DEADLINE: Duration = Duration::from_secs(2 * 60);

/// Stopping a container. It has a stop timeout of its own (10 s unless it was given another) after which docker kills.
pub const STOP_DEADLINE: Duration = Duration::from_secs(3 * 60);

/// What a tool that must not be ended in its middle has at least, however little the run has left. Between removing a
/// container and starting the next it stops one (10 s on Unraid) and asks a registry, perhaps in vain.
pub const MIDWAY_LEAST: Duration = Duration::from_secs(30);

/// The proof after such a tool, whatever the run has left: some looks, a network, a start, each a quick call.
pub const PROOF_DEADLINE: Duration = Duration::from_secs(2 * 60);

/// From stopping a container to starting the next, whatever the run has left: half-way is the one place where a deploy
/// must not end.
pub const SWAP_DEADLINE: Duration = Duration::from_secs(5 * 60);

/// Putting one container back, whatever the run has left, beyond making it again and waiting for its health: two stops and
/// a dozen quick calls.
pub const BACK_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Replacing one container, beyond what a tool may take for it: a stop, and half a dozen quick calls.
pub const UPDATE_MARGIN: Duration = Duration::from_secs(5 * 60);

/// Waits before a `terraform init` is tried again whose network failed: three tries in all.
pub const TF_INIT_WAITS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(10)];

/// Bytes of a plan's `relevant_attributes` that are put in order for its digest: some forty thousand of them. What is beyond
/// that counts in the order in which terraform printed it.
pub const MAX_SORTED: usize = 4 * 1024 * 1024;

/// Bytes of what terraform printed that are looked at after its run has died: its last lines.
pub const TAIL_BYTES: u64 = 16 * 1024;

/// Removing the containers that were replaced; they have been stopped before.
pub const CLEANUP_DEADLINE: Duration = Duration::from_secs(2 * 60);

/// What waiting for health may take beyond its own bound: a last probe, a log.
pub const HEALTH_MARGIN: Duration = Duration::from_secs(60);

/// The whole preflight: a few looks at each container.
pub const PREFLIGHT_DEADLINE: Duration = Duration::from_secs(2 * 60);

/// Bytes of what `docker inspect` prints of one thing. A health log of five probes of 4 KiB each is the largest part.
pub const MAX_INSPECT: usize = 1024 * 1024;

/// Bytes of a template or of a container's declaration. Real ones are under 20 KiB.
pub const MAX_TEMPLATE: u64 = 1024 * 1024;

/// Entries below a template folder. A host has some dozens; a folder with more is not a template folder.
pub const MAX_TEMPLATE_ENTRIES: usize = 4096;

/// One health probe: an application that takes longer is not healthy yet.
pub const PROBE_DEADLINE: Duration = Duration::from_secs(5);

/// The wait after the first health probe; it doubles up to the configured interval.
pub const FIRST_PROBE_PAUSE: Duration = Duration::from_millis(100);

/// While health is waited for, the container is looked at this often: one that has ended will not answer.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Restarts that a container may need on its way to health: one that waits for its database by dying needs a few.
pub const RESTARTS_TOLERATED: u32 = 3;

/// A container without a health check counts as up when it has run this long without a restart.
pub const STEADY: Duration = Duration::from_secs(5);

/// Lines of a failed container's log that its caller sees: enough for a stack trace.
pub const FAILED_LOG_LINES: u32 = 50;

/// Bytes of what was last answered that a failure quotes.
pub const MAX_QUOTE: usize = 200;
// ---- files of a run ----------------------------------------------------------------------------------------------

/// Bytes of a run's small files and of a ticket. They are under 100 KiB; more is not ours.
pub const MAX_RUN_FILE: u64 = 1024 * 1024;

/// Bytes of the journal. It holds every template of a deploy, under 20 KiB each; what would make it larger is not begun.
pub const MAX_JOURNAL: u64 = 16 * 1024 * 1024;

/// Lines of a tool's output that are kept for the sentence that says why it failed.
pub const TAIL_LINES: usize = 20;

/// Between two tries for the turn while another process gives it back: the first wait, doubled up to [`RETRY`].
pub const TURN_RETRY: Duration = Duration::from_millis(2);

/// How long a failed run waits for a docker that does not answer, before it goes back: one that is restarted, or started
/// again by its supervisor, is up within seconds. After that whoever completes the run does it.
pub const BACK_PATIENCE: Duration = Duration::from_secs(2 * 60);

/// Between two such attempts.
pub const BACK_AGAIN: Duration = Duration::from_secs(1);

/// Between two starts of a recovery for one follower: the first one may have met another that was just ending.
pub const RECOVER_AGAIN: Duration = Duration::from_secs(2);
// ---- secrets ----------------------------------------------------------------------------------------------------

/// Bytes of a file with a secret. The longest registry tokens, which are JWTs, have some kilobytes.
pub const MAX_SECRET: u64 = 16 * 1024;

/// What the operator's notice command may take: a push service answers within a second, and three tries of ten seconds fit.
pub const NOTICE_DEADLINE: Duration = Duration::from_secs(30);

// ---- settings ----------------------------------------------------------------------------------------------------

/// The most that a setting may ask for as a number of connections or followers: each is two processes.
pub const MOST_SESSIONS: u32 = 4096;

/// The most waiting runs that a setting may ask for: the last of them would wait for days.
pub const MOST_QUEUED: u32 = 1000;

/// The most run folders that a setting may ask for: listing them is a walk through all.
pub const MOST_KEPT_RUNS: u32 = 10_000;

/// The most versions of an image that a setting may ask to keep: each is hundreds of megabytes.
pub const MOST_KEPT_IMAGES: u32 = 1000;

/// The longest time that a setting may ask for. Whoever needs a longer deploy has another problem.
pub const LONGEST_SETTING: Duration = Duration::from_secs(24 * 3600);

/// The shortest time that a setting may ask for; below it a poll interval is a busy loop.
pub const SHORTEST_SETTING: Duration = Duration::from_millis(10);

/// Entries of one list: sources, pins, values of a pin. Every one is compared with every request.
pub const MAX_LIST: usize = 256;

/// Containers of one deploy.
pub const MAX_CONTAINERS: usize = 64;

/// Bytes of one pinned value. GitHub's longest claim, a workflow reference, is far below.
pub const MAX_PIN: usize = 1024;

/// Letters of a module's name, which becomes a part of a file's name.
pub const MAX_MODULE_NAME: usize = 64;

/// Bytes of a module's path in the repository; with the working folder before it, it stays below the kernel's PATH_MAX.
pub const MAX_MODULE_PATH: usize = 512;

// ---- check -------------------------------------------------------------------------------------------------------

/// A certificate that ends within this time is pointed out: CI's pinned copy of it has to be changed as well.
pub const CERTIFICATE_NOTICE: Duration = Duration::from_secs(21 * 24 * 3600);

/// How long `check` waits for a program to say its version. A docker daemon that is starting takes a few seconds.
pub const VERSION_DEADLINE: Duration = Duration::from_secs(10);

/// Bytes that are read of what it says to that. Terraform names providers beside its version.
pub const MAX_VERSION: usize = 4096;

// ---- a jail -------------------------------------------------------------------------------------------------------

/// Bytes of a jail's root folder in memory: it holds folders, links and empty files for mounts, and is read-only.
pub const JAIL_ROOT: u64 = 1024 * 1024;

/// Bytes of a jail's `/tmp`. Terraform downloads a provider to it before it unpacks it; the largest are under 200 MiB.
pub const JAIL_TEMPORARY: u64 = 1024 * 1024 * 1024;

/// Bytes of a jail's `/dev/shm`, which programs use for little.
pub const JAIL_SHARED_MEMORY: u64 = 64 * 1024 * 1024;

/// Processes and threads of a plan's user. Terraform with twenty providers has some hundreds; a fork bomb ends here.
pub const JAIL_PROCESSES: u64 = 4096;

// ---- fetching a commit -------------------------------------------------------------------------------------------

/// All of getting one commit onto the disk: its token, two fetches at most, the checkout.
pub const CHECKOUT_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// One fetch. One commit of a large repository is 100 MB, which takes under a minute at 20 Mbit/s.
pub const GIT_FETCH_DEADLINE: Duration = Duration::from_secs(5 * 60);

/// A server that gives less than a kilobyte a second for this long, in seconds, has gone.
pub const GIT_SILENCE: u32 = 30;

/// What git does without the network: an empty repository, a checkout, a walk through a history.
pub const GIT_LOCAL_DEADLINE: Duration = Duration::from_secs(2 * 60);

/// Bytes of what git is asked for: a commit id.
pub const MAX_GIT_OUTPUT: usize = 1024;

/// Names that a sentence lists of a folder in which something is missing.
pub const MAX_LISTED: usize = 20;

/// Bytes of a `.gitattributes`. They have some lines; a longer one is not looked into.
pub const MAX_ATTRIBUTES: u64 = 64 * 1024;

/// From where on a wrong clock is why GitHub refuses an app's token. The token is dated back by this much.
pub const APP_CLOCK_SKEW: Duration = Duration::from_secs(60);

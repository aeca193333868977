//! What a run and its tools may take, and what the operator may ask for.

use std::time::Duration;

// ---- a deploy ----------------------------------------------------------------------------------------------------

/// A look at docker, a tag, a rename, a start: seconds on a busy host, and a docker that takes longer hangs.
pub const DOCKER_QUICK: Duration = Duration::from_secs(30);

/// Reading some dozens of small files and writing one, on a flash drive.
pub const TEMPLATE_DEADLINE: Duration = Duration::from_secs(30);

/// A pull of which no line came, and for which no byte was written, for this long hangs. A layer of a gigabyte is unpacked
/// without a line, but not without a byte.
pub const PULL_STALL: Duration = Duration::from_secs(2 * 60);

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

/// What must be done to its end, whatever the run has left: from stopping a container to starting the next, and going back.
/// Every look in it has a bound of its own, and what dockerd was asked for is waited for however long that takes, as an
/// operator may have given a container an hour to stop. So this bounds nothing that can happen.
pub const UNHURRIED: Duration = LONGEST_SETTING;

/// While a call that was handed to dockerd is waited for beyond its usual time, that is said this often.
pub const STILL_WAITING_EVERY: Duration = Duration::from_secs(60);

/// How long dockerd is waited for after it has cut off a call: one that is started again by its supervisor is up within
/// seconds. After that the deploy goes back, which waits on.
pub const DOCKER_RETURNS: Duration = Duration::from_secs(60);

/// Replacing one container, beyond what a tool may take for it: half a dozen quick calls.
pub const UPDATE_MARGIN: Duration = Duration::from_secs(5 * 60);

/// Waits before a `terraform init` is tried again whose network failed: three tries in all.
pub const TF_INIT_WAITS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(10)];

/// Bytes of what `terraform show -json` prints of a plan. 200,000 lines of plan are 37 MB.
pub const MAX_PLAN_JSON: u64 = 256 * 1024 * 1024;

/// Bytes of a saved plan, which is compressed, and is read whole.
pub const MAX_PLAN_FILE: u64 = 64 * 1024 * 1024;

/// Bytes of a value in it that is read whole, and of a file of a configuration that is looked into.
pub const MAX_PLAN_VALUE: u64 = 4 * 1024 * 1024;

/// Values of a plan that are told apart in its digest: about three for a resource.
pub const MAX_PLAN_PARTS: usize = 500_000;

/// Levels of a plan's state that are taken apart: two for each module within a module.
pub const MAX_PLAN_DEPTH: usize = 64;

/// Differences between two plans that a refused apply names.
pub const MAX_DIFFERENCES: usize = 20;

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
pub const RESTARTS_TOLERATED: u64 = 3;

/// A container without a health check counts as up when it has run this long without a restart.
pub const STEADY: Duration = Duration::from_secs(5);

/// Lines of a failed container's log that its caller sees: enough for a stack trace.
pub const FAILED_LOG_LINES: u32 = 50;

/// Bytes of what was last answered that a failure quotes.
pub const MAX_QUOTE: usize = 200;

/// What the operator's notice command may take: a push service answers within a second, and three tries of ten seconds fit.
pub const NOTICE_DEADLINE: Duration = Duration::from_secs(30);

// ---- files of a run ----------------------------------------------------------------------------------------------

/// Bytes of a run's small files and of a ticket. They are under 100 KiB; more is not ours.
pub const MAX_RUN_FILE: u64 = 1024 * 1024;

/// Bytes of the journal. It holds every template of a deploy, under 20 KiB each; what would make it larger is not begun.
pub const MAX_JOURNAL: u64 = 16 * 1024 * 1024;

/// Lines of a tool's output that are kept for the sentence that says why it failed.
pub const TAIL_LINES: usize = 20;

/// Between two tries for the turn while another process gives it back: the first wait, doubled up to [`super::RETRY`].
pub const TURN_RETRY: Duration = Duration::from_millis(2);

/// The turn's lock is held for longer than this, while no run holds a ticket, only by whoever completes a dead run.
pub const COMPLETION_AFTER: Duration = Duration::from_millis(500);

/// Between two attempts at going back while docker does not answer.
pub const BACK_AGAIN: Duration = Duration::from_secs(1);

/// Between two starts of a recovery for one follower: the first one may have met another that was just ending.
pub const RECOVER_AGAIN: Duration = Duration::from_secs(2);

// ---- secrets ----------------------------------------------------------------------------------------------------

/// Bytes of a file with a secret. The longest registry tokens, which are JWTs, have some kilobytes.
pub const MAX_SECRET: u64 = 16 * 1024;

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

/// Bytes of one file that a plan's tools write, the one with what they print among them. The largest providers take under
/// 1 GiB unpacked.
pub const JAIL_FILE: u64 = 2 * 1024 * 1024 * 1024;

/// How readily the kernel ends a plan's processes when memory is short, from -1000 to 1000 (proc(5), oom_score_adj): before
/// everything else on the host.
pub const JAIL_OOM_SCORE: &str = "1000";

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

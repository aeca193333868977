//! Every bound, with its reason.

use std::time::Duration;

/// A request is three short fields and a few of ours; what is longer is no request.
pub const REQUEST_BYTES: usize = 8 * 1024;
/// A response carries at most [`MESSAGE_BYTES`] of text, escaped.
pub const RESPONSE_BYTES: usize = 16 * 1024;
/// The text of a status: the end of a build's output says why it failed.
pub const MESSAGE_BYTES: usize = 4 * 1024;
/// With one heartbeat a second for a quarter of an hour a host sends 900.
pub const MESSAGES_OF_A_HOST: u32 = 1_000;
/// A frame of the link: a request with every byte escaped, or the metrics.
pub const FRAME_BYTES: usize = 128 * 1024;
/// Requests whose ids are remembered at a time.
pub const IDS_REMEMBERED: usize = 4_096;
/// Finished runs whose folders are kept.
pub const RUNS_KEPT: usize = 50;
/// A log beyond this is no longer written; the run goes on.
pub const LOG_BYTES: u64 = 64 * 1024 * 1024;
/// `--timeout` of a deploy.
pub const DEPLOY_SECONDS: u64 = 900;
/// The longest timeout: a day. An id without a deadline (the Go tool sends none) is remembered for as long.
pub const TIMEOUT_MAX: u64 = 86_400;
/// The longest pause between two heartbeats.
pub const HEARTBEAT_MAX: u64 = 3_600;
/// How far a host's clock may be behind the deployer's deadline.
pub const LEEWAY_MS: u64 = 30_000;
/// A clock that is further off is named before the deploy.
pub const CLOCK_OFF_MS: u64 = 5_000;
/// Discovery ends this long after the last answer,
pub const DISCOVER_QUIET_MS: u64 = 300;
/// at the earliest after this,
pub const DISCOVER_LEAST_MS: u64 = 500;
/// and at the latest after this (`--discover-wait`).
pub const DISCOVER_MOST_MS: u64 = 3_000;
/// How long a publish that nobody got is repeated: a listener may be reconnecting.
pub const UNHEARD_MS: u64 = 500;
/// The pause between two such publishes.
pub const UNHEARD_PAUSE_MS: u64 = 50;
/// `--accept-wait`.
pub const ACCEPT_MS: u64 = 5_000;
/// Missed heartbeats after which a host is stalled.
pub const MISSED_HEARTBEATS: u64 = 3;
/// A stalled host, or one whose final status may have been lost, is asked for this often.
pub const ASK_PAUSE_MS: u64 = 2_000;
/// The output says that it lives after this much silence.
pub const OUTPUT_SILENCE_MS: u64 = 10_000;
/// A server that does not answer in this time is unreachable: exit status 3 within 5 s.
pub const CONNECT_WAIT: Duration = Duration::from_secs(4);
/// A connection that dies silently is noticed after three of these.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);
/// What is still being built gets TERM, and KILL this much later.
pub const KILL_AFTER: Duration = Duration::from_secs(10);
/// An activation that nixos-rebuild has left behind is waited for so long.
pub const ACTIVATION_WAIT: Duration = Duration::from_secs(3_600);
/// The network half is started again after 0.1 s, then less and less often, up to this.
pub const RESTART_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Times that a run may end without a result before it is recorded as interrupted without asking it again.
pub const RUN_ATTEMPTS: u32 = 5;
/// An MCP client with a progress token hears this often; others get `running` at [`MCP_PATIENCE`].
pub const MCP_PROGRESS: Duration = Duration::from_secs(5);
/// Many MCP clients stop a call at 60 s.
pub const MCP_PATIENCE: Duration = Duration::from_secs(50);
/// Host output in the result of an MCP tool.
pub const MCP_OUTPUT_BYTES: usize = 2 * 1024;
/// A person who is asked for approval may be away.
pub const APPROVAL_WAIT: Duration = Duration::from_secs(300);
/// A request for the metrics is one short line and a few headers.
pub const METRICS_REQUEST_BYTES: usize = 4 * 1024;

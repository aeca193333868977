//! The tools for assistants, over standard input and output. The model that calls them may be misled: `deploy` can only ever
//! publish below `deploy.test.`, and `deploy_admin` asks the person. What really bounds it is the key that it is given.

mod approval;
mod deploys;
mod guard;
mod tools;

use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;

use crate::fleet::Access;
use crate::limits::{APPROVAL_WAIT, MCP_PATIENCE};

/// What a model may do with the keys.
#[derive(clap::Args)]
pub struct Limits {
    /// Offer no tool that deploys
    #[arg(long)]
    read_only: bool,
    /// Branches, tags and commits that may be deployed; `*` stands for any letters; repeatable
    #[arg(long, value_name = "GLOB")]
    allow_branch: Vec<String>,
    /// Hosts that one deploy may reach
    #[arg(long, value_name = "NUMBER")]
    max_hosts: Option<usize>,
    /// Refuse deploy_admin to clients that cannot ask a person
    #[arg(long)]
    require_approval: bool,
    #[arg(long, default_value_t = APPROVAL_WAIT.as_secs(), hide = true)]
    approval_wait: u64,
    /// After this a client without a progress token gets `running`
    #[arg(long, default_value_t = MCP_PATIENCE.as_secs(), hide = true)]
    patience: u64,
}

/// Without an admin's access there is no `deploy_admin`.
pub async fn serve(tests: Access, admin: Option<Access>, limits: Limits) -> Result<(), String> {
    let service = match tools::Server::new(tests, admin, limits).serve(rmcp::transport::stdio()).await {
        Ok(service) => service,
        // A client that goes before it has begun.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(why) => return Err(why.to_string()),
    };
    service.waiting().await.map(|_| ()).map_err(|why| why.to_string())
}

//! The tools for assistants, over standard input and output. The model that calls them may be misled: `deploy` can only ever
//! publish below `deploy.test.`, and `deploy_admin` asks the person. What really bounds it is the key that it is given.

mod approval;
mod deploys;
mod guard;
mod tools;

use std::time::Duration;

use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;

use crate::fleet::Access;

pub struct Settings {
    pub tests: Access,
    /// For `deploy_admin`; without it there is no such tool.
    pub admin: Option<Access>,
    pub read_only: bool,
    pub allow_branch: Vec<String>,
    pub max_hosts: Option<usize>,
    pub require_approval: bool,
    pub approval_wait: Duration,
    /// After this a client without a progress token gets `running`.
    pub patience: Duration,
}

pub async fn serve(settings: Settings) -> Result<(), String> {
    let service = match tools::Server::new(settings).serve(rmcp::transport::stdio()).await {
        Ok(service) => service,
        // A client that goes before it has begun.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(why) => return Err(why.to_string()),
    };
    service.waiting().await.map(|_| ()).map_err(|why| why.to_string())
}

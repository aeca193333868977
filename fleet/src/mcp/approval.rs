//! Asking the person before `deploy_admin`, in the way of the client's protocol: `elicitation/create` up to 2025-11-25, an
//! intermediate result from 2026-07-28.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rmcp::RoleServer;
use rmcp::model::{
    ElicitRequest, ElicitRequestParams, ElicitationAction, ElicitationSchema, InputRequest, InputRequests,
    InputRequiredResult, InputResponses,
};
use rmcp::service::RequestContext;

use crate::os::clock::random;
use crate::wire::RunId;

/// The name of the one question.
const QUESTION: &str = "approve";

/// Questions that wait for an answer in a later call, and since when.
#[derive(Default)]
pub struct Pending(Mutex<BTreeMap<String, (String, Instant)>>);

/// Approved; or a question to return, so that the client asks the person and calls again; or why it is refused.
type Answer = Result<Option<InputRequiredResult>, String>;

fn declined<T>() -> Result<T, String> {
    Err("the person declined; nothing was sent".to_owned())
}

fn question(text: &str) -> ElicitRequestParams {
    let schema = ElicitationSchema::builder().required_bool(QUESTION).build();
    ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: text.to_owned(),
        requested_schema: schema.expect("one boolean is a schema"),
    }
}

fn approves(action: &ElicitationAction, content: Option<&serde_json::Value>) -> bool {
    *action == ElicitationAction::Accept && content.is_none_or(|content| content[QUESTION] != false)
}

pub fn can_ask(context: &RequestContext<RoleServer>) -> bool {
    context
        .client_capabilities()
        .and_then(|capabilities| capabilities.elicitation)
        .is_some_and(|elicitation| elicitation.form.is_some() || elicitation.url.is_none())
}

/// Asks over the connection and waits.
pub async fn ask_now(context: &RequestContext<RoleServer>, text: &str, wait: Duration) -> Answer {
    let asked = tokio::time::timeout(wait, context.peer.create_elicitation(question(text)));
    match asked.await {
        Err(_) => Err("nobody answered in time; nothing was sent".to_owned()),
        Ok(Ok(answer)) if approves(&answer.action, answer.content.as_ref()) => Ok(None),
        Ok(Ok(_)) => declined(),
        Ok(Err(why)) => Err(format!("the person could not be asked: {why}; nothing was sent")),
    }
}

impl Pending {
    /// The first call gets the question; the second one brings the answer to exactly that question.
    pub fn ask(&self, text: &str, state: Option<&str>, responses: Option<&InputResponses>, wait: Duration) -> Answer {
        let mut pending = self.0.lock().expect("no holder panics");
        pending.retain(|_, (_, asked)| asked.elapsed() < wait);
        let Some(state) = state else {
            let handle = RunId::from_random(random()).to_string();
            pending.insert(handle.clone(), (text.to_owned(), Instant::now()));
            let request = InputRequest::Elicitation(ElicitRequest::new(question(text)));
            let requests = InputRequests::from([(QUESTION.to_owned(), request)]);
            return Ok(Some(InputRequiredResult::new(Some(requests), Some(handle))));
        };
        let Some((asked, _)) = pending.remove(state) else {
            return Err("the question is unknown, or was answered too late; nothing was sent".to_owned());
        };
        if asked != text {
            return Err("what would be deployed is not what was asked; nothing was sent".to_owned());
        }
        let answer = responses.and_then(|responses| responses.get(QUESTION));
        let action = answer.and_then(|answer| serde_json::from_value(answer["action"].clone()).ok());
        match (action, answer) {
            (Some(action), Some(answer)) if approves(&action, answer.get("content")) => Ok(None),
            _ => declined(),
        }
    }
}

//! The session's answer: frames in, a stream out, a chunk a line.
//!
//! Knows nothing of what is said. Between two frames it watches the caller, so that the session learns at once when nobody
//! is left to hear; how it learns is the end of the link when this process exits.

use std::io;
use std::os::fd::AsFd;

use crate::front::error::{FrontError, Result};
use crate::front::serve::Visit;
use crate::http::{Head, HttpError, Response, Version};
use crate::link::{FromFront, Request, ToFront};
use crate::os::poll::{self, For};

impl Visit<'_> {
    /// Sends the request to the session and its answer to the caller.
    ///
    /// # Errors
    /// [`HttpError::NO_ANSWER`] when the session ends before it answered. Once a stream has begun, a session that ends is
    /// [`FrontError::Link`]: the stream is cut, not ended, and the caller can tell.
    pub fn relay(&mut self, head: Head, body: String) -> Result {
        let request = Request {
            method: head.method,
            path: head.path,
            authorization: head.authorization,
            body,
        };
        let sent = self.link.say(&FromFront::Request(request));
        let answer = match sent.and_then(|()| self.next_frame()) {
            Ok(ToFront::Head(answer)) => answer,
            Ok(_) | Err(FrontError::Link(_)) => return Err(HttpError::NO_ANSWER.into()),
            Err(lost) => return Err(lost),
        };
        let mut response = match &answer.sentence {
            Some(sentence) => Response::sentence(answer.status, sentence),
            // A reverse proxy in between that gathers lines would take the promptness away; nginx asks this header.
            None => Response::stream(head.version).with("X-Accel-Buffering", "no"),
        };
        for (name, value) in &answer.headers {
            response = response.with(name, value);
        }
        self.say(response)?;
        match answer.sentence {
            Some(_) => Ok(()),
            None => self.stream(head.version),
        }
    }

    /// Lines until the end. Each is a chunk; those that are here at one time are sent at one time. They are what one read
    /// of the link brought, so they are few.
    fn stream(&mut self, version: Version) -> Result {
        let mut chunks = Vec::new();
        loop {
            let frame = match self.link.decoded()? {
                Some(frame) => frame,
                None => {
                    // No line stays here while the next one is waited for.
                    self.connection.write(&chunks)?;
                    chunks.clear();
                    self.next_frame()?
                }
            };
            match frame {
                ToFront::Line(line) => chunks.extend(version.line(&line)),
                ToFront::End => {
                    chunks.extend(version.end());
                    return self.connection.write(&chunks);
                }
                ToFront::Connection(_) | ToFront::Head(_) => {
                    return Err(FrontError::Link(io::Error::other("a second head came")));
                }
            }
        }
    }

    /// The next frame, as long as the caller is there.
    fn next_frame(&mut self) -> Result<ToFront> {
        loop {
            if let Some(frame) = self.link.decoded()? {
                return Ok(frame);
            }
            let caller = (self.connection.as_fd(), self.connection.watch());
            let [from_link, from_caller] = poll::wait([(self.link.as_fd(), For::Reading), caller], None)?;
            if from_caller.any() {
                self.connection.still_there()?;
            }
            if from_link.any() {
                self.link.receive()?;
            }
        }
    }
}

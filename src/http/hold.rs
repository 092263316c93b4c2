//! Keeps the body of a request that is sent in chunks from being let go before the answer is out. The HTTP library reads a
//! body that nobody wants any more to its end to save the connection, and takes all the time the client likes for that;
//! one that is still held when the answer ends it does not save: it closes the connection after a moment.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpMessage;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::web::Bytes;
use futures_util::Stream;

/// A body that is read in one place and held in another.
#[derive(Clone)]
pub(super) struct Held(Rc<RefCell<Payload>>);

impl Stream for Held {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}

/// Holds the body of a request, if it comes in chunks.
pub(super) fn body_of(request: &mut ServiceRequest) -> Option<Held> {
    request.headers().get(TRANSFER_ENCODING)?;
    let held = Held(Rc::new(RefCell::new(request.take_payload())));
    request.set_payload(Payload::Stream { payload: Box::pin(held.clone()) });
    Some(held)
}

impl Held {
    /// The answer, which holds the request's body until its own end.
    pub(super) fn until_the_end_of(self, answer: BoxBody) -> BoxBody {
        BoxBody::new(Answer { answer, _held: self })
    }
}

struct Answer {
    answer: BoxBody,
    _held: Held,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.answer).poll_next(context)
    }
}

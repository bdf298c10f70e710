//! Other servers, run as processes under the same loads. One file a peer; what is peculiar to its protocol beside it.

pub mod broker;
mod event_stream;
pub mod pocketbase;

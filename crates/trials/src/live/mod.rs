//! The live oracle: a world is run on the engine, its clients are held to the contract, and after every commit all that
//! they show is compared with what is true.
//!
//! | file | holds |
//! |---|---|
//! | `run` | the events, one by one, against an engine |
//! | `sessions` | those of them that are a client's: subscribe, go away, come back, resume |
//! | `judge` | the comparison |
//! | `oracle` | what is true, from a plain connection |
//! | `client` | a client that believes nothing it was not told |
//! | `result`, `listener` | what it keeps of a live query, of a change stream |
//! | `frames`, `cells`, `image` | frames, values and tables in a form that can be compared |
//! | `evidence` | which traps a write has hit |

pub mod cells;
pub mod client;
pub mod evidence;
pub mod frames;
pub mod image;
pub mod judge;
pub mod listener;
pub mod oracle;
pub mod result;
pub mod run;
mod sessions;

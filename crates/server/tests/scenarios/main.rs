//! Scenarios against the real binary: what a user of each face does, and what it must notice.
//!
//! One test binary, so that all of them run side by side; one module for each theme.
#![allow(clippy::unwrap_used)] // all of it is test

#[path = "../server/mod.rs"]
mod server;

mod access;
mod backups;
mod bad_requests;
mod bounds;
mod bucket;
mod callers;
mod change_streams;
mod described;
mod disk;
mod documents;
mod documents_of_callers;
mod dump_callbacks;
mod dumps;
mod dumps_in_trouble;
mod events;
mod explain;
mod issuers;
mod keys;
mod keys_of_callers;
mod kills;
mod live;
mod logs;
mod measures;
mod members;
mod migrations;
mod mirrors;
mod mirrors_in_trouble;
mod mutations;
mod people;
mod refused_sql;
mod requests;
mod rest;
mod rest_callers;
mod resume;
mod retries;
mod revisions;
mod routes;
mod schemas;
mod sign_in_attacks;
mod socket;
mod sql;
mod start;
mod statements;
mod stop;
mod there_and_back;
mod topics;
mod topics_of_callers;
mod unread;
mod waiting;

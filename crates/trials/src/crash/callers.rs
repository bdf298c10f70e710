//! Who talks to a server while it lives: each until the connection ends, whoever ends it.

use super::aftermath::lock;
use super::client::Client;
use super::ledger::Ledger;
use super::socket::Socket;
use super::told::Told;
use crate::random::Random;
use anyhow::Result;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Sends one request after the other.
pub async fn write(address: SocketAddr, ledger: Arc<Mutex<Ledger>>, writer: usize, mut random: Random) -> Result<()> {
    let Ok(mut client) = Client::open(address).await else { return Ok(()) };
    loop {
        let planned = lock(&ledger).plan(writer, &mut random);
        let Some(outcome) = client.send(&planned).await? else { return Ok(()) };
        lock(&ledger).acked(writer, outcome)?;
    }
}

/// Is told what happens. Gives all it was told.
pub async fn follow(mut socket: Socket, mut told: Told, ledger: Arc<Mutex<Ledger>>) -> Result<Told> {
    while let Some(frame) = socket.frame().await {
        told.take(&frame, &mut lock(&ledger))?;
    }
    Ok(told)
}

/// Now and then, until all is over, reads and subscribes to everything while others write, and looks whether that is one
/// snapshot. Gives how often it did.
pub async fn visit(address: SocketAddr, newcomer: Told, ledger: Arc<Mutex<Ledger>>, mut pace: Pace) -> Result<usize> {
    let mut visits = 0;
    let Ok(mut client) = Client::open(address).await else { return Ok(visits) };
    while pace.goes_on().await {
        let Ok((revision, heads)) = client.heads().await else { return Ok(visits) };
        lock(&ledger).told_heads(revision, heads)?;
        let mut told = newcomer.clone();
        let Ok(mut socket) = Socket::open(address, &told.connect()).await else { return Ok(visits) };
        while !told.is_complete() {
            let Some(frame) = socket.frame().await else { return Ok(visits) };
            told.take(&frame, &mut lock(&ledger))?;
        }
        told.check(&lock(&ledger))?;
        visits += 1;
    }
    Ok(visits)
}

/// Requests acknowledged from one visit to the next.
const ACKS_BETWEEN_VISITS: usize = 15;

/// When it is time for the next visit.
pub struct Pace {
    pub acks: watch::Receiver<usize>,
    pub is_over: watch::Receiver<bool>,
}

impl Pace {
    /// False when there is nothing more to come for.
    pub async fn goes_on(&mut self) -> bool {
        let enough = *self.acks.borrow() + ACKS_BETWEEN_VISITS;
        tokio::select! {
            acks = self.acks.wait_for(|acks| *acks >= enough) => acks.is_ok(),
            _ = self.is_over.wait_for(|is_over| *is_over) => false,
        }
    }
}

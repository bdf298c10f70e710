//! One message to a thousand listeners: Tidebase's topics beside Redis and NATS, each over its own protocol, with the
//! same raw sockets on this side, which only count.
//!
//! *One at a time*: the next message is published when all have the last, so nothing can be put together. *A hundred at a
//! time*: in one write of the publisher, so the servers may put several into one write to each listener. The servers take
//! turns over several rounds, so that a change of the machine's mood meets all of them; the median of the rounds counts.

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::{AbortHandle, spawn_local};

use crate::child::{Child, clean_command, free_address};
use crate::cli::Settings;
use crate::procfs::cpu;
use crate::report::{Report, median, ratio};
use crate::targets;
use crate::tidebase::{NAME, Tidebase};
use crate::told::allow_sockets;

const LISTENERS: usize = 1000;
const BURST: u64 = 100;
/// The ways a message is sent, in the order of a round.
const WAYS: [&str; 2] = ["one at a time", "a hundred at a time"];
const START_PATIENCE: Duration = Duration::from_secs(20);
const TOLD_PATIENCE: Duration = Duration::from_secs(30);
/// In each message once, and nowhere else in any of the protocols.
const MARK: u8 = b'@';
const MESSAGE: &str = "a message of some length, as chats and games send them @ 64 char";

/// How a server is spoken to.
struct Protocol {
    name: &'static str,
    /// Said first on each connection, and what its answer ends with.
    greeting: Vec<u8>,
    greeted: &'static [u8],
    listen: Vec<u8>,
    publish: Vec<u8>,
}

fn tidebase(token: &str) -> Protocol {
    let greeting = format!(
        "GET /ws?token={token} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    Protocol {
        name: NAME,
        greeting: greeting.into(),
        greeted: b"\r\n\r\n",
        listen: masked(r#"{"id":1,"action":"subscribe","topic":"t"}"#),
        publish: masked(&format!(r#"{{"action":"publish","topic":"t","data":"{MESSAGE}"}}"#)),
    }
}

/// A text frame of a client: masked, with a mask of zeros.
fn masked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0xfe);
            frame.extend((long as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

fn redis() -> Protocol {
    let publish = format!("*3\r\n$7\r\nPUBLISH\r\n$1\r\nt\r\n${}\r\n{MESSAGE}\r\n", MESSAGE.len());
    Protocol {
        name: "Redis",
        greeting: b"PING\r\n".to_vec(),
        greeted: b"+PONG\r\n",
        listen: b"SUBSCRIBE t\r\n".to_vec(),
        publish: publish.into(),
    }
}

fn nats() -> Protocol {
    let publish = format!("PUB t {}\r\n{MESSAGE}\r\n", MESSAGE.len());
    Protocol {
        name: "NATS",
        greeting: b"CONNECT {\"verbose\":false}\r\nPING\r\n".to_vec(),
        greeted: b"PONG\r\n",
        listen: b"SUB t 1\r\n".to_vec(),
        publish: publish.into(),
    }
}

/// A peer's process; it must end before its folder goes.
struct Peer {
    child: Child,
    address: std::net::SocketAddr,
    _home: TempDir,
}

impl Peer {
    async fn start(settings: &Settings, program: &Path, arguments: impl Fn(&mut Command, u16)) -> Result<Self> {
        let home = settings.temporary()?;
        let address = free_address()?;
        let mut command = clean_command(program, home.path());
        arguments(&mut command, address.port());
        let child = Child::spawn(&mut command, home.path().join("server.log"))?;
        let asked = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            ensure!(asked.elapsed() < START_PATIENCE, "{} does not listen", program.display());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(Self { child, address, _home: home })
    }
}

pub async fn run(settings: &Settings, report: &mut Report) -> Result<()> {
    allow_sockets(3 * LISTENERS)?;
    let server = Tidebase::fresh(settings).await?;
    let mut stands = vec![Stand::open(server.address, server.pid(), tidebase(&server.token)).await?];
    let mut peers = Vec::new();
    if let Some(program) = settings.redis.as_deref() {
        let peer = Peer::start(settings, program, |command, port| {
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]).arg(port.to_string());
        })
        .await?;
        stands.push(Stand::open(peer.address, peer.child.pid(), redis()).await?);
        peers.push(peer);
    }
    if let Some(program) = settings.nats.as_deref() {
        let peer = Peer::start(settings, program, |command, port| {
            command.args(["-a", "127.0.0.1", "-p"]).arg(port.to_string());
        })
        .await?;
        stands.push(Stand::open(peer.address, peer.child.pid(), nats()).await?);
        peers.push(peer);
    }
    for _ in 0..settings.rounds {
        for stand in &mut stands {
            stand.round(settings.window).await?;
        }
    }
    for stand in &stands {
        for (index, words) in WAYS.into_iter().enumerate() {
            let name = format!("message to {LISTENERS} listeners, {words}");
            report.figure(format!("{name}: server CPU each"), stand.protocol.name, median(&stand.cost[index]), "µs");
            report.figure(format!("{name}: told a second"), stand.protocol.name, median(&stand.rate[index]), "");
        }
    }
    let (ours, others) = stands.split_first().expect("ours was opened first");
    for theirs in others {
        for (index, words) in WAYS.into_iter().enumerate() {
            let name = format!("message to {LISTENERS} listeners, {words}: CPU each, {} = 1", theirs.protocol.name);
            let costs = ratio(median(&ours.cost[index]), median(&theirs.cost[index]));
            report.judged(name, costs, "x", targets::BROKER_RATIO);
        }
    }
    for (peer, option) in [(settings.redis.is_none(), "--redis"), (settings.nats.is_none(), "--nats")] {
        if peer {
            report.remarks.push(format!("A peer was not measured: no binary was named with {option}."));
        }
    }
    drop(stands);
    for peer in peers {
        peer.child.stop()?;
    }
    server.stop()
}

/// One server with its listeners, who count marks for as long as this lives. An idle one costs the others nothing.
struct Stand {
    pid: u32,
    protocol: Protocol,
    heard: Rc<Cell<u64>>,
    tasks: Vec<AbortHandle>,
    publisher: OwnedWriteHalf,
    /// µs of server CPU for each message and listener, and how many were told a second; for each way, each round.
    cost: [Vec<f64>; 2],
    rate: [Vec<f64>; 2],
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Stand {
    async fn open(address: std::net::SocketAddr, pid: u32, protocol: Protocol) -> Result<Self> {
        let heard = Rc::new(Cell::new(0));
        let mut tasks = Vec::new();
        for _ in 0..LISTENERS {
            let (reading, mut writing) = greeted(address, &protocol).await?;
            writing.write_all(&protocol.listen).await?;
            let heard = Rc::clone(&heard);
            tasks.push(spawn_local(count(reading, Some(writing), heard)).abort_handle());
        }
        let (reading, mut publisher) = greeted(address, &protocol).await?;
        tasks.push(spawn_local(count(reading, None, Rc::new(Cell::new(0)))).abort_handle());
        // Whoever has heard a message listens; the first may come too early for some.
        let asked = Instant::now();
        loop {
            let before = heard.get();
            publisher.write_all(&protocol.publish).await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
            if heard.get() == before + LISTENERS as u64 {
                break;
            }
            ensure!(asked.elapsed() < START_PATIENCE, "{} tells not all listeners", protocol.name);
        }
        Ok(Self { pid, protocol, heard, tasks, publisher, cost: Default::default(), rate: Default::default() })
    }

    async fn round(&mut self, window: Duration) -> Result<()> {
        for (index, at_once) in [1, BURST].into_iter().enumerate() {
            let batch = self.protocol.publish.repeat(at_once as usize);
            let (before, started, mut sent) = (cpu(self.pid)?, Instant::now(), 0);
            while started.elapsed() < window {
                let due = self.heard.get() + at_once * LISTENERS as u64;
                self.publisher.write_all(&batch).await?;
                sent += at_once;
                let asked = Instant::now();
                while self.heard.get() < due {
                    ensure!(asked.elapsed() < TOLD_PATIENCE, "{} has not told all listeners", self.protocol.name);
                    tokio::task::yield_now().await;
                }
            }
            let spent = cpu(self.pid)?.saturating_sub(before);
            let told = sent as f64 * LISTENERS as f64;
            self.cost[index].push(ratio(spent.as_secs_f64() * 1e6, told));
            self.rate[index].push(ratio(told, started.elapsed().as_secs_f64()));
        }
        Ok(())
    }
}

async fn greeted(address: std::net::SocketAddr, protocol: &Protocol) -> Result<(OwnedReadHalf, OwnedWriteHalf)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut reading, mut writing) = stream.into_split();
    writing.write_all(&protocol.greeting).await?;
    let mut answer = Vec::new();
    while !answer.windows(protocol.greeted.len()).any(|window| window == protocol.greeted) {
        ensure!(reading.read_buf(&mut answer).await? > 0, "{} closed a connection", protocol.name);
    }
    Ok((reading, writing))
}

/// Keeps the writing half, for without it the connection would be closed.
async fn count(mut reading: OwnedReadHalf, _writing: Option<OwnedWriteHalf>, heard: Rc<Cell<u64>>) -> Result<()> {
    let mut buffer = vec![0; 32 << 10];
    loop {
        let read = reading.read(&mut buffer).await.context("reading a listener's socket")?;
        ensure!(read > 0, "a server closed a connection");
        let marks: u64 = buffer[..read].iter().map(|&byte| u64::from(byte == MARK)).sum();
        heard.set(heard.get() + marks);
    }
}

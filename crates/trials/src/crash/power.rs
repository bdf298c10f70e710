//! A power round: an engine on a disk whose power fails at many instants, each of which is a history of its own.
//!
//! Most cuts are taken right after an operation of the disk, densely and then far apart ([`Stage::schedule`]): in the
//! middle of a commit, of a checkpoint, of the first opening of the file, of its closing. Others are taken by a writer
//! at the moment it was answered. What was promised is noted first, then the cut is taken, then the image is looked at
//! on another thread while the engine goes on.

use super::aftermath::lock;
use super::callers::Pace;
use super::image::{DATABASE, Image};
use super::inside::{Subscriber, queue, read};
use super::stage::{Images, Plan, Stage};
use super::state::{FIRST_KEY, FIRST_MESSAGE, KEY_TRIGGERS, MESSAGES_KEPT, TABLES, TOPIC, WRITERS, first_rows};
use super::tally::Tally;
use super::told::Told;
use crate::power_loss;
use crate::random::Random;
use anyhow::{Result, anyhow};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tidebase_engine::keys::KeyWrite;
use tidebase_engine::{Engine, Limits, Options, Params, Principal, SqlRequest};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Times the database is opened, written to and closed.
const LIVES: usize = 2;
const SUBSCRIBERS: usize = 2;
/// Threads that look at images: they mostly wait for the disk.
const LOOKERS: usize = 2;
/// Images that may wait to be looked at; the disk stands still past it.
const IMAGES_WAITING: usize = 4;
/// Left for the closing of the database.
const CUTS_AT_CLOSE: usize = 5;
/// Requests one writer sends without waiting for an answer.
const UNDER_WAY_MAX: usize = 4;

/// What was done is told even if something was found.
pub fn round(home: &Path, mut random: Random, plan: Plan) -> (Tally, Result<()>) {
    let mut tally = Tally::default();
    let done = run(home, &mut random, plan, &mut tally);
    (tally, done)
}

fn run(home: &Path, random: &mut Random, plan: Plan, tally: &mut Tally) -> Result<()> {
    let stage = Stage::new(home, plan, random)?;
    let (sender, images) = sync_channel(IMAGES_WAITING);
    stage.schedule(sender.clone(), random.clone())?;
    let images = Arc::new(Mutex::new(images));
    let lookers = [0; LOOKERS].map(|_| {
        let (stage, images) = (Arc::clone(&stage), Arc::clone(&images));
        thread::spawn(move || look(&stage, &images))
    });
    let lived = lives(&stage, sender, random, tally);
    stage.end();
    // With the witness goes the last sender of images.
    let forgotten = stage.power.forget(&stage.live);
    let mut looked = Ok(());
    for looker in lookers {
        let (seen, found) = looker.join().map_err(|_| anyhow!("looking at the images panicked"))?;
        tally.add(&seen);
        looked = looked.and(found);
    }
    // What an image shows comes first: it ends the round, and the rest with it.
    looked?;
    lived?;
    Ok(forgotten?)
}

/// Looks at the images as they come, until one is bad; then it only empties the queue, so that the disk goes on.
fn look(stage: &Stage, images: &Mutex<Receiver<Result<Image>>>) -> (Tally, Result<()>) {
    let (mut tally, mut looked) = (Tally::default(), Ok(()));
    let next = || images.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(image) = next() {
        if looked.is_ok() {
            looked = image.and_then(|image| image.check(&stage.ledger, &mut tally));
            if looked.is_err() {
                stage.end();
            }
        }
    }
    (tally, looked)
}

fn lives(stage: &Arc<Stage>, images: Images, random: &mut Random, tally: &mut Tally) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut told = Vec::new();
    for life in 1..=LIVES {
        let limits = Limits {
            wal_checkpoint_bytes: random.between(50_000, 500_000) as u64,
            rows_chunk_bytes: random.between(500, 60_000),
            ..Limits::default()
        };
        let vfs = power_loss::NAME.to_str()?.to_owned();
        let engine = Engine::open(Options { vfs: Some(vfs), limits, ..Options::new(stage.live.join(DATABASE)) })?;
        let share = (stage.plan.cuts * life / LIVES).saturating_sub(CUTS_AT_CLOSE);
        told = runtime.block_on(live(stage, &engine, &images, random, share, told, tally))?;
        engine.close();
        lock(&stage.ledger).restarted();
    }
    told.iter().for_each(|told: &Told| tally.told(told.counts));
    Ok(())
}

/// One engine under load, until `share` cuts are taken. Gives what the subscribers know at its end.
async fn live(
    stage: &Arc<Stage>,
    engine: &Arc<Engine>,
    images: &Images,
    random: &mut Random,
    share: usize,
    mut told: Vec<Told>,
    tally: &mut Tally,
) -> Result<Vec<Told>> {
    if told.is_empty() {
        told = vec![Told::new(prepare(engine, stage).await?); SUBSCRIBERS];
    }
    let newcomer = told[0].newcomer();
    let quiet = watch::Sender::new(false);
    let mut watchers = JoinSet::new();
    for told in told {
        let mut subscriber = Subscriber::open(engine, told).await?;
        subscriber.settle(&stage.ledger).await?;
        watchers.spawn(follow(subscriber, Arc::clone(stage), quiet.subscribe()));
    }
    let (mut writers, mut visitors) = (JoinSet::new(), JoinSet::new());
    let pace = Pace { acks: lock(&stage.ledger).acks(), is_over: quiet.subscribe() };
    visitors.spawn(visit(Arc::clone(stage), Arc::clone(engine), newcomer, pace));
    for writer in 0..WRITERS {
        let (stage, engine, images) = (Arc::clone(stage), Arc::clone(engine), images.clone());
        writers.spawn(write(
            stage,
            engine,
            images,
            writer,
            Random::new(random.below(usize::MAX) as u64, writer as u64),
            share,
        ));
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    quiet.send_replace(true);
    while let Some(visits) = visitors.join_next().await {
        tally.visits += visits??;
    }
    let mut told = Vec::new();
    while let Some(watched) = watchers.join_next().await {
        told.push(watched??);
    }
    Ok(told)
}

/// Makes the tables and the topic; gives the cursor before the first message that counts.
async fn prepare(engine: &Engine, stage: &Stage) -> Result<i64> {
    let sql = async |sql: &str| engine.query(SqlRequest::query(sql, Params::None)).await;
    for table in TABLES {
        sql(table).await?;
    }
    sql(&first_rows()).await?;
    let (key, value) = FIRST_KEY;
    let set = KeyWrite::Set { key: key.into(), value: value.into(), ttl_ms: None, if_revision: None };
    engine.write_key(&Principal::Admin, set, None)?.wait().await?;
    for trigger in KEY_TRIGGERS {
        sql(trigger).await?;
    }
    engine.keep_topic(TOPIC, MESSAGES_KEPT).await?;
    let cursor = engine.publish(&Principal::Admin, TOPIC, FIRST_MESSAGE, None).await?;
    stage.subscriber_knows(&Told::new(cursor));
    lock(&stage.ledger).ready();
    if stage.plan.disk_lies {
        stage.power.lie(&stage.live)?;
    }
    Ok(cursor)
}

async fn write(
    stage: Arc<Stage>,
    engine: Arc<Engine>,
    images: Images,
    writer: usize,
    mut random: Random,
    share: usize,
) -> Result<()> {
    while stage.is_before(share) {
        let mut under_way = Vec::new();
        for _ in 0..random.between(1, UNDER_WAY_MAX) {
            let planned = lock(&stage.ledger).plan(writer, &mut random);
            let queued = queue(&engine, &planned).await?;
            under_way.push((planned, queued));
        }
        for (planned, queued) in under_way {
            let outcome = queued.outcome(&planned).await?;
            lock(&stage.ledger).acked(writer, outcome)?;
            if random.percent(1) {
                let (stage, images) = (Arc::clone(&stage), images.clone());
                tokio::task::spawn_blocking(move || stage.cut_now(&images)).await?;
            }
        }
    }
    Ok(())
}

/// Reads and subscribes while others write, now and then; gives how often.
async fn visit(stage: Arc<Stage>, engine: Arc<Engine>, newcomer: Told, mut pace: Pace) -> Result<usize> {
    let mut visits = 0;
    while pace.goes_on().await {
        read(&engine, &stage.ledger).await?;
        Subscriber::open(&engine, newcomer.clone()).await?.visit(&stage.ledger).await?;
        visits += 1;
    }
    Ok(visits)
}

/// Is told what happens until nobody writes, and then that this is all.
async fn follow(mut subscriber: Subscriber, stage: Arc<Stage>, mut quiet: watch::Receiver<bool>) -> Result<Told> {
    while !*quiet.borrow() {
        tokio::select! {
            batch = subscriber.next() => {
                subscriber.take(&batch?, &stage.ledger).await?;
                stage.subscriber_knows(&subscriber.told);
            }
            changed = quiet.changed() => changed?,
        }
    }
    subscriber.settle(&stage.ledger).await?;
    Ok(subscriber.told.clone())
}

#[cfg(test)]
mod tests {
    use super::super::violation::Violation;
    use super::*;

    fn round(cuts: usize, disk_lies: bool, seed: u64) -> (Tally, Result<()>) {
        let home = tempfile::tempdir().unwrap();
        super::round(home.path(), Random::new(seed, 0), Plan { cuts, disk_lies })
    }

    #[test]
    fn a_disk_that_does_not_sync_is_found_out_within_a_few_cuts() {
        for seed in 0..3 {
            let (tally, found) = round(60, true, seed);
            let error = found.expect_err("nothing was found");
            assert!(error.downcast_ref::<Violation>().is_some(), "{error:?}");
            assert!(tally.cuts - tally.cuts_early <= 10, "found after {} cuts only", tally.cuts);
        }
    }

    #[test]
    fn a_disk_that_syncs_keeps_every_promise() {
        let (tally, found) = round(25, false, 1);
        found.unwrap();
        assert!(tally.cuts > 15 && tally.sectors_stale > 0 && tally.acked > 0, "{tally}");
    }
}

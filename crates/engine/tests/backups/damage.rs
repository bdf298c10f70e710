//! Files and lists that are flipped, cut, gone, or somebody else's, while a server runs and while none does: nothing comes back as another
//! moment than it was, what was lost is told, and what comes is kept.

use super::*;

#[tokio::test]
async fn a_damaged_file_is_named_and_gone_around() {
    let mut world = World::new(7).await;
    for _ in 0..12 {
        world.step().await;
    }
    world.backups().tidy(time_ms() + 120_000).unwrap();
    assert!(world.files("minutes") >= 1);
    let minutes = world.root().join("ltx/1");
    let minute = fs::read_dir(&minutes).unwrap().next().unwrap().unwrap().path();
    // Running it would put such files aside, in its time.
    world.stop();
    flip(&minute);
    let checked = verify(&Archive::read(&world.root()).unwrap(), |_| Ok(()), |_, _, _| {}).unwrap();
    assert_eq!(checked.damaged.len(), 1, "{checked:?}");
    assert!(checked.damaged[0].contains("ltx/1/"), "{checked:?}");
    let to = world.folder.path().join("around");
    let restored = restore(&world.root(), Moment::Latest, &to).unwrap();
    assert_eq!(restored.passed_over.len(), 1, "{restored:?}");
    assert_eq!(&whole(&to), &world.truth.last().unwrap().1);
    // Where no other file holds the same, it is said and nothing is made.
    let snapshot = fs::read_dir(world.root().join("ltx/9")).unwrap().next().unwrap().unwrap().path();
    flip(&snapshot);
    let to = world.folder.path().join("nowhere");
    let error = restore(&world.root(), Moment::Latest, &to).unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert!(error.message.contains("ltx/9/") && error.message.contains("damaged"), "{error}");
    assert!(
        fs::read_dir(world.folder.path())
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().to_string_lossy().contains("nowhere") })
    );
}

#[tokio::test]
async fn what_is_damaged_is_found_put_aside_and_made_good_for() {
    for level in ["9", "0", "1"] {
        let mut world = World::new(15).await;
        for _ in 0..4 {
            world.step().await;
        }
        if level == "1" {
            // A minute takes the place of its seconds, and the hour is made of it.
            world.backups().tidy(time_ms() + 120_000).unwrap();
        }
        let files = fs::read_dir(world.root().join("ltx").join(level)).unwrap();
        let file = files.map(|entry| entry.unwrap().path()).min().unwrap();
        flip(&file);
        world.backups().tidy(time_ms() + 3 * 3_600_000).unwrap();
        assert!(world.backups().report().unwrap().set_aside == 1 && !file.exists(), "{level}: {:?}", world.report());
        // What joined nothing any more is no state to go back to: all that comes is.
        world.truth.clear();
        for _ in 0..3 {
            world.step().await;
        }
        world.backups().tidy(time_ms() + 3 * 3_600_000).unwrap();
        let report = world.backups().report().unwrap();
        assert!(report.ok && report.set_aside == 1, "{level}: {report:?}");
        let checked = verify(&Archive::read(&world.root()).unwrap(), |_| Ok(()), |_, _, _| {}).unwrap();
        assert!(checked.damaged.is_empty(), "{checked:?}");
        world.check_all();
        agrees(&world).await;
    }
}

/// What can be done to a list.
const SPOILT: [fn(&Path); 6] = [
    |list| {
        let text = fs::read_to_string(list).unwrap();
        let line = text.lines().nth(text.lines().count() / 2).unwrap();
        fs::write(list, text.replacen(line, &line.replacen("level", "revel", 1), 1)).unwrap();
    },
    |list| {
        let text = fs::read(list).unwrap();
        fs::write(list, &text[..text.len() / 2]).unwrap();
    },
    |list| {
        let text = fs::read_to_string(list).unwrap();
        let half = text.lines().count() / 2;
        fs::write(list, text.lines().skip(half).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    },
    |list| fs::write(list, "nothing\n").unwrap(),
    |list| fs::remove_file(list).unwrap(),
    |list| {
        fs::remove_file(list).unwrap();
        fs::create_dir(list).unwrap();
    },
];

#[tokio::test]
async fn what_a_list_has_lost_the_files_tell() {
    for (case, spoil) in SPOILT.iter().enumerate() {
        for is_stopped in [false, true] {
            let mut world = World::new(17).await;
            for _ in 0..5 {
                world.step().await;
            }
            world.backups().tidy(time_ms() + 120_000).unwrap();
            let name = ["groups.jsonl", "manifest.jsonl"][case % 2];
            if is_stopped {
                world.stop();
                spoil(&world.root().join(name));
                // By hand, without a server.
                let to = world.folder.path().join("by-hand");
                if let Ok(restored) = restore(&world.root(), Moment::Latest, &to) {
                    assert_eq!(whole(&to), world.truth.last().unwrap().1, "{case} {name} {restored:?}");
                }
                world.start();
            } else {
                spoil(&world.root().join(name));
                world.backups().tidy(time_ms() + 120_000).unwrap();
            }
            let moments = world.truth.len();
            for _ in 0..2 {
                world.step().await;
            }
            let report = world.report();
            assert!(report.ok && report.gaps.is_empty(), "{case} {name} {is_stopped}: {report:?}");
            // By their times; a line that was made anew knows no revision.
            for (index, (revision, expected)) in world.truth.iter().enumerate() {
                let to = world.folder.path().join(format!("restored-{index}"));
                match restore(&world.root(), Moment::Revision(*revision), &to) {
                    Ok(_) => assert_eq!(&whole(&to), expected, "{case} {name} {is_stopped}: {revision}"),
                    Err(error) => {
                        let is_told = error.message.contains("cannot be told") || error.code == Code::Invalid;
                        assert!(is_stopped && index <= moments && is_told, "{case} {name}: {error}");
                    }
                }
            }
            assert!(Archive::read(&world.root()).unwrap().lost_lines().is_empty());
            let beside = fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
            assert!(beside.into_iter().all(|name| !name.to_string_lossy().contains("-damaged-")));
            agrees(&world).await;
        }
    }
}

#[tokio::test]
async fn what_can_still_be_asked_for_is_lost_and_what_was_forgotten_is_not() {
    let mut world = World::new(18).await;
    for _ in 0..4 {
        world.step().await;
    }
    let of = |world: &World| {
        let inventory = world.backups().inventory(&[]).unwrap();
        let names = |files: &[(tidebase_engine::backups::Stored, tidebase_engine::backups::Record)]| {
            files.iter().map(|(file, _)| file.to_string()).collect::<Vec<_>>()
        };
        (names(&inventory.files), names(&inventory.lost))
    };
    let (files, lost) = of(&world);
    assert!(files.len() > 4 && lost.is_empty(), "{files:?} {lost:?}");
    // Seconds have become minutes, and were removed.
    world.backups().tidy(time_ms() + 2 * DAY_MS).unwrap();
    let (later, _) = of(&world);
    assert!(later.iter().all(|file| !file.starts_with("ltx/0/")), "{later:?}");
    let snapshot = later.iter().find(|file| file.starts_with("ltx/9/")).unwrap();
    fs::remove_file(world.root().join(snapshot)).unwrap();
    let (_, lost) = of(&world);
    assert!(lost.contains(snapshot), "{lost:?}");
}

#[tokio::test]
async fn what_is_no_damage_moves_nothing() {
    let mut world = World::new(19).await;
    world.step().await;
    world.stop();
    // Not to be read, for now.
    let (list, kept) = (world.root().join("groups.jsonl"), world.root().join("kept"));
    fs::rename(&list, &kept).unwrap();
    std::os::unix::fs::symlink(&list, &list).unwrap();
    let refused = Engine::open(options(&world.path)).err().unwrap();
    assert!(refused.message.contains("groups.jsonl cannot be"), "{refused}");
    fs::remove_file(&list).unwrap();
    fs::rename(&kept, &list).unwrap();
    world.start();
    world.step().await;
    world.check_all();
    assert_eq!(world.report().set_aside, 0);
}

#[tokio::test]
async fn damage_is_put_aside_wherever_it_can_be() {
    let mut world = World::new(22).await;
    world.step().await;
    let snapshot = fs::read_dir(world.root().join("ltx/9")).unwrap().next().unwrap().unwrap().path();
    // Nothing can be put there, and there is no file any more.
    fs::write(world.root().join("set-aside"), "").unwrap();
    fs::remove_file(&snapshot).unwrap();
    fs::create_dir(&snapshot).unwrap();
    world.backups().tidy(time_ms()).unwrap();
    assert!(snapshot.with_extension("ltx.damaged").is_dir() && !snapshot.exists());
    world.truth.clear();
    world.step().await;
    assert!(world.report().ok);
    world.check_all();
}

#[tokio::test]
async fn what_came_to_stand_in_the_way_of_a_file_is_set_aside() {
    let mut world = World::new(20).await;
    world.step().await;
    let mut names: Vec<_> = fs::read_dir(world.root().join("ltx/0")).unwrap().map(|it| it.unwrap().path()).collect();
    names.sort();
    let last = names.last().unwrap();
    let number =
        u64::from_str_radix(last.file_stem().unwrap().to_str().unwrap().split('-').next().unwrap(), 16).unwrap();
    // As where a disk was full between a file and its line.
    fs::copy(last, last.with_file_name(format!("{:016x}-{0:016x}.ltx", number + 1))).unwrap();
    world.step().await;
    assert_eq!(world.report().set_aside, 1);
    world.check_all();
}

#[tokio::test]
async fn a_second_that_was_lost_is_no_other_second() {
    let mut world = World::new(21).await;
    for _ in 0..5 {
        world.step().await;
    }
    let archive = Archive::read(&world.root()).unwrap();
    let mut groups: Vec<_> = archive.records().filter(|record| record.level == 0).copied().collect();
    groups.sort_by_key(|record| record.last);
    let at = (1..groups.len() - 1)
        .find(|at| groups[at - 1].time_ms < groups[*at].time_ms && groups[at - 1].revision < groups[*at].revision);
    let lost = groups[at.unwrap()];
    let file = world.root().join(format!("ltx/0/{:016x}-{0:016x}.ltx", lost.first));
    // With what is behind it, in front of the next snapshot, and within a minute.
    for is_merged in [false, true] {
        if is_merged {
            world.backups().tidy(time_ms() + 120_000).unwrap();
        } else {
            fs::rename(&file, file.with_extension("away")).unwrap();
        }
        if is_merged {
            fs::remove_file(&file).unwrap();
        }
        let to = world.folder.path().join(format!("to-{is_merged}"));
        for moment in [Moment::Time(lost.time_ms.cast_signed()), Moment::Revision(lost.revision.unwrap())] {
            let restored = restore(&world.root(), moment, &to);
            let Err(refused) = restored else { panic!("{is_merged} {moment:?} {lost:?}: {restored:?}") };
            assert!(refused.message.contains("there is a gap"), "{is_merged}: {refused}");
        }
        assert_eq!(world.report().gaps.len(), 1, "{:?}", world.report());
        if !is_merged {
            fs::rename(file.with_extension("away"), &file).unwrap();
            assert!(world.report().gaps.is_empty());
        }
    }
    // The newest, which is in no minute yet.
    world.step().await;
    world.stop();
    let newest = Archive::read(&world.root()).unwrap().last().copied().unwrap();
    let name = format!("{:016x}-{:016x}.ltx", newest.first, newest.last);
    fs::remove_file(world.root().join("ltx/0").join(&name)).unwrap();
    let to = world.folder.path().join("newest");
    let refused = restore(&world.root(), Moment::Latest, &to).unwrap_err();
    assert!(refused.message.contains("Restore that one"), "{refused}");
}

#[tokio::test]
async fn the_first_seconds_are_lost_and_not_forgotten() {
    let mut world = World::new(23).await;
    for _ in 0..4 {
        world.step().await;
    }
    world.backups().tidy(time_ms() + 120_000).unwrap();
    let minute = world.report().newest.unwrap().revision;
    for file in fs::read_dir(world.root().join("ltx/0")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let to = world.folder.path().join("to");
    for (revision, _) in world.truth.iter().filter(|(revision, _)| Some(*revision) < minute) {
        let refused = restore(&world.root(), Moment::Revision(*revision), &to).unwrap_err();
        assert!(refused.message.contains("there is a gap"), "{refused}");
    }
    assert_eq!(world.report().gaps.len(), 1);
}

#[tokio::test]
async fn another_folder_is_left_alone() {
    let mut world = World::new(24).await;
    world.step().await;
    let away = world.folder.path().join("away");
    fs::rename(world.root(), &away).unwrap();
    copy_folder(&away, &world.root());
    fs::write(world.root().join("groups.jsonl"), "of somebody else\n").unwrap();
    world.backups().tidy(time_ms() + 120_000).unwrap_err();
    assert_eq!(fs::read(world.root().join("groups.jsonl")).unwrap(), b"of somebody else\n");
}

#[tokio::test]
async fn an_older_copy_of_the_folder_begins_anew() {
    let mut world = World::new(25).await;
    world.step().await;
    let (copy, away) = (world.folder.path().join("copy"), world.folder.path().join("away"));
    copy_folder(&world.root(), &copy);
    for _ in 0..3 {
        world.step().await;
    }
    let early = world.truth[0].clone();
    fs::rename(world.root(), &away).unwrap();
    fs::rename(&copy, world.root()).unwrap();
    agrees(&world).await;
    world.truth = vec![early];
    world.note();
    world.check_all();
    assert_eq!(world.report().gaps.len(), 1, "{:?}", world.report());
}

#[tokio::test]
async fn for_the_last_line_its_file_vouches() {
    for (from, to) in [("\"time_ms\":17", "\"time_ms\":16"), ("\"size\":", "\"size\":1")] {
        let mut world = World::new(26).await;
        for _ in 0..3 {
            world.step().await;
        }
        world.stop();
        let list = world.root().join("groups.jsonl");
        let text = fs::read_to_string(&list).unwrap();
        let last = text.lines().last().unwrap();
        fs::write(&list, text.replacen(last, &last.replacen(from, to, 1), 1)).unwrap();
        let to = world.folder.path().join("to");
        let restored = restore(&world.root(), Moment::Latest, &to).unwrap();
        assert_eq!(whole(&to), world.truth.last().unwrap().1);
        assert!(restored.passed_over[0].ends_with("of groups.jsonl"), "{restored:?}");
        // And if it is not there at all.
        fs::write(&list, text.replacen(last, "", 1).trim_end()).unwrap();
        fs::write(&list, format!("{}\n", fs::read_to_string(&list).unwrap())).unwrap();
        let to = world.folder.path().join("too");
        restore(&world.root(), Moment::Latest, &to).unwrap();
        assert_eq!(whole(&to), world.truth.last().unwrap().1);
    }
}

#[tokio::test]
async fn the_only_snapshot_needs_no_line() {
    let mut world = World::new(27).await;
    for _ in 0..3 {
        world.step().await;
    }
    world.stop();
    fs::remove_file(world.root().join("manifest.jsonl")).unwrap();
    world.start();
    world.step().await;
    world.check_all();
    assert!(world.report().gaps.is_empty() && world.report().set_aside == 0, "{:?}", world.report());
}

#[tokio::test]
async fn nothing_is_put_aside_under_who_reads() {
    let mut world = World::new(16).await;
    world.step().await;
    let snapshot = fs::read_dir(world.root().join("ltx/9")).unwrap().next().unwrap().unwrap().path();
    let reading = tidebase_engine::backups::archive::hold(&world.root()).unwrap();
    flip(&snapshot);
    world.backups().tidy(time_ms()).unwrap();
    assert!(snapshot.exists());
    drop(reading);
    world.backups().tidy(time_ms()).unwrap();
    assert!(!snapshot.exists());
    agrees(&world).await;
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

//! The policy: links and special files are not replaced, and a target is never half written.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use sealwax_files::{
    FileKind, Folder, NewFile, Refusal, RelativePath, create_or_append, open_to_append,
};
use tempfile::TempDir;

/// Environment variable with the target of [`writes_half_and_waits`] and [`replaces`].
const TARGET: &str = "SEALWAX_FILES_TARGET";

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
}

fn write(path: impl AsRef<Path>, content: &str) -> io::Result<()> {
    let new = NewFile::create(path)?;
    new.file().write_all(content.as_bytes())?;
    new.complete().map(drop)
}

#[track_caller]
fn refusal<T>(result: io::Result<T>) -> Refusal {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => Refusal::of(&error).unwrap_or_else(|| panic!("{error}")).clone(),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("readable").flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).expect("readable")
}

#[test]
fn a_link_to_a_regular_file_is_followed_and_stays() {
    let (scratch, other) = (scratch(), scratch());
    let (file, link) = (other.path().join("file"), scratch.path().join("link"));
    fs::write(&file, "old").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("set");
    symlink(&file, scratch.path().join("second")).expect("linked");
    symlink("second", &link).expect("linked");
    let new = NewFile::create(&link).expect("created");
    assert_eq!(new.path(), link);
    assert_eq!(names(other.path()).len(), 2, "it is not beside the file that it replaces");
    new.file().write_all(b"new").expect("written");
    new.complete().expect("complete");
    assert_eq!((read(&file).as_str(), names(other.path())), ("new", vec!["file".to_owned()]));
    assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    assert_eq!(names(scratch.path()), ["link", "second"]);
}

#[test]
fn everything_else_about_links_and_special_files_is_refused() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    fs::create_dir(at("folder")).expect("made");
    pipe(&at("pipe"));
    let _socket = UnixListener::bind(at("socket")).expect("bound");
    symlink("nowhere", at("dangling")).expect("linked");
    symlink("loop", at("loop")).expect("linked");
    symlink("folder", at("to-folder")).expect("linked");
    symlink("pipe", at("to-pipe")).expect("linked");
    symlink("/dev/null", at("to-device")).expect("linked");
    let before = names(scratch.path());
    for (target, expected) in [
        (at("folder"), Refusal::NotRegular(FileKind::Folder)),
        (at("folder/"), Refusal::NotRegular(FileKind::Folder)),
        (at("new/"), Refusal::NotRegular(FileKind::Folder)),
        (at("folder/."), Refusal::NotRegular(FileKind::Folder)),
        (at("folder/.."), Refusal::NotRegular(FileKind::Folder)),
        (PathBuf::new(), Refusal::NotRegular(FileKind::Folder)),
        (at("pipe"), Refusal::NotRegular(FileKind::Pipe)),
        (at("socket"), Refusal::NotRegular(FileKind::Socket)),
        ("/dev/null".into(), Refusal::NotRegular(FileKind::Device)),
        (at("dangling"), Refusal::DanglingLink),
        (at("to-folder"), Refusal::LinkTo(FileKind::Folder)),
        (at("to-pipe"), Refusal::LinkTo(FileKind::Pipe)),
        (at("to-device"), Refusal::LinkTo(FileKind::Device)),
    ] {
        assert_eq!(refusal(NewFile::create(&target)), expected, "{}", target.display());
        assert_eq!(refusal(NewFile::check(&target)), expected, "{}", target.display());
    }
    let error = NewFile::create(at("loop")).expect_err("a loop");
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::LOOP.raw_os_error()));
    assert_eq!(names(scratch.path()), before);

    NewFile::check(at("new")).expect("a new name");
    NewFile::check(at("absent/new")).expect("the folder need not exist yet");
    let absent = NewFile::create(at("absent/new")).expect_err("no such folder");
    assert_eq!(absent.kind(), io::ErrorKind::NotFound);
}

#[test]
fn what_takes_the_targets_name_in_the_meantime_is_not_replaced() {
    let scratch = scratch();
    let (path, victim) = (scratch.path().join("file"), scratch.path().join("victim"));
    fs::write(&victim, "precious").expect("written");
    let started = || {
        let new = NewFile::create(&path).expect("created");
        new.file().write_all(b"new").expect("written");
        new
    };
    let new = started();
    symlink(&victim, &path).expect("linked");
    assert_eq!(refusal(new.complete()), Refusal::NotRegular(FileKind::Link));
    assert_eq!(read(&victim), "precious");
    fs::remove_file(&path).expect("removed");

    let new = started();
    pipe(&path);
    assert_eq!(refusal(new.complete()), Refusal::NotRegular(FileKind::Pipe));
    assert!(fs::symlink_metadata(&path).expect("there").file_type().is_fifo());
    fs::remove_file(&path).expect("removed");

    // A folder that becomes a link: the file goes where it was begun.
    let folder = scratch.path().join("folder");
    fs::create_dir(&folder).expect("made");
    let new = NewFile::create(folder.join("file")).expect("created");
    fs::rename(&folder, scratch.path().join("moved")).expect("moved");
    fs::create_dir(scratch.path().join("outside")).expect("made");
    symlink("outside", &folder).expect("linked");
    new.complete().expect("complete");
    assert_eq!(names(&scratch.path().join("moved")), ["file"]);
    assert_eq!(names(&scratch.path().join("outside")), [""; 0]);
    assert_eq!(names(scratch.path()), ["folder", "moved", "outside", "victim"]);
}

#[test]
fn no_link_inside_a_folder_is_followed() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    for folder in ["real/a", "outside"] {
        fs::create_dir_all(at(folder)).expect("made");
    }
    fs::write(at("outside/victim"), "precious").expect("written");
    fs::write(at("real/regular"), "old").expect("written");
    symlink("../outside", at("real/link")).expect("linked");
    symlink("a", at("real/within")).expect("linked");
    symlink("../outside/victim", at("real/file")).expect("linked");
    symlink("../outside/new", at("real/dangling")).expect("linked");
    pipe(&at("real/pipe"));
    // The user may name the folder by a link.
    symlink("real", at("root")).expect("linked");
    let root = Folder::create(at("root")).expect("opened");
    let path = |text: &str| RelativePath::parse(text).expect("a path");
    for (key, expected) in [
        ("link/victim", Refusal::LinkInside(at("root/link"))),
        ("link/b/new", Refusal::LinkInside(at("root/link"))),
        ("within/new", Refusal::LinkInside(at("root/within"))),
        ("file", Refusal::LinkInside(at("root/file"))),
        ("dangling", Refusal::LinkInside(at("root/dangling"))),
        ("pipe", Refusal::NotRegular(FileKind::Pipe)),
        ("a", Refusal::NotRegular(FileKind::Folder)),
        ("regular/new", Refusal::NotAFolder(at("root/regular"))),
    ] {
        assert_eq!(refusal(root.new_file(&path(key))), expected, "{key}");
        assert_eq!(refusal(root.open_file(&path(key))), expected, "{key}");
    }
    let absent = root.open_file(&path("a/none")).expect_err("absent");
    assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    let absent = root.open_file(&path("none/none")).expect_err("absent");
    assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    assert_eq!(names(&at("outside")), ["victim"]);
    assert_eq!(read(at("outside/victim")), "precious");

    for key in ["new", "a/new", "b/c/new", "b/d/new", "regular"] {
        let new = root.new_file(&path(key)).expect("created");
        assert_eq!(new.path(), at("root").join(key));
        new.file().write_all(key.as_bytes()).expect("written");
        new.complete().expect("complete");
        let mut text = String::new();
        root.open_file(&path(key)).expect("opened").read_to_string(&mut text).expect("read");
        assert_eq!(text, key);
        assert_eq!(read(at("real").join(key)), key);
    }
}

/// A folder and a link to elsewhere that change places, over and over, while a file is written.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_is_swapped_for_a_link_leads_nowhere_else() {
    use rustix::fs::{RenameFlags, renameat_with};

    const OF_EACH: usize = 200;
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    fs::create_dir_all(at("root/folder")).expect("made");
    fs::create_dir(at("outside")).expect("made");
    symlink("../outside", at("root/link")).expect("linked");
    let root = Folder::open(at("root")).expect("opened");
    let path = RelativePath::parse("folder/file").expect("a path");
    let expected = Refusal::LinkInside(at("root/folder"));
    let (mut written, mut refused, mut other) = (0, 0, None);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (folder, link) = (at("root/folder"), at("root/link"));
            while !ended.load(Ordering::Relaxed) {
                renameat_with(CWD, &folder, CWD, &link, RenameFlags::EXCHANGE).expect("swapped");
            }
        });
        while (written < OF_EACH || refused < OF_EACH) && other.is_none() {
            match root.new_file(&path).and_then(NewFile::complete) {
                Ok(_) => written += 1,
                Err(error) if Refusal::of(&error) == Some(&expected) => refused += 1,
                Err(error) => other = Some(error),
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert!(other.is_none(), "{other:?}");
    assert_eq!(names(&at("outside")), [""; 0]);
}

#[test]
fn concurrent_writers_of_one_target_leave_one_whole_file() {
    const WRITERS: usize = 8;
    let scratch = scratch();
    let path = scratch.path().join("file");
    for existing in [false, true] {
        if existing {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        }
        let start = Barrier::new(WRITERS);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (start, path) = (&start, &path);
                scope.spawn(move || {
                    start.wait();
                    write(path, &writer.to_string().repeat(100_000)).expect("written");
                });
            }
        });
        let content = read(&path);
        assert_eq!(content.len(), 100_000);
        assert!(content.bytes().all(|byte| byte == content.as_bytes()[0]), "a mixture");
        assert_eq!(names(scratch.path()), ["file"]);
        let mode = fs::metadata(&path).expect("there").mode() & 0o777;
        assert!(!existing || mode == 0o640, "{mode:04o}");
    }
}

#[test]
fn only_one_of_many_creates_a_private_file() {
    const CREATORS: usize = 8;
    let scratch = scratch();
    let (path, start) = (scratch.path().join("key"), Barrier::new(CREATORS));
    let created: Vec<_> = thread::scope(|scope| {
        let create = |creator: usize| {
            let (path, start) = (&path, &start);
            move || {
                let new = NewFile::create_private(path)?;
                new.file().write_all(creator.to_string().as_bytes())?;
                start.wait();
                new.complete().map(|_| creator)
            }
        };
        let all: Vec<_> = (0..CREATORS).map(|creator| scope.spawn(create(creator))).collect();
        all.into_iter().map(|creator| creator.join().expect("no panic")).collect()
    });
    let winners: Vec<_> = created.iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(read(&path), winners[0].to_string());
    for error in created.iter().filter_map(|created| created.as_ref().err()) {
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
    assert_eq!(names(scratch.path()), ["key"]);
    for name in ["key", "link"] {
        let _ = symlink("nowhere", scratch.path().join("link"));
        let error = NewFile::create_private(scratch.path().join(name)).expect_err("it exists");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
}

/// Another process must not use a private file before its creator is done with it.
#[test]
fn only_a_private_file_stays_locked_when_it_is_complete() {
    let scratch = scratch();
    let creators: [fn(PathBuf) -> io::Result<NewFile>; 3] =
        [NewFile::create, NewFile::create_new, NewFile::create_private];
    for (name, create) in ["replaced", "first", "private"].into_iter().zip(creators) {
        let path = scratch.path().join(name);
        let complete = create(path.clone()).and_then(NewFile::complete).expect("complete");
        let is_locked = || match File::open(&path).expect("it exists").try_lock() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(error)) => panic!("{name}: {error}"),
        };
        assert_eq!(is_locked(), name == "private", "{name}");
        drop(complete);
        assert!(!is_locked(), "{name}");
    }
}

#[test]
fn planted_names_are_not_used() {
    let scratch = scratch();
    let (path, victim) = (scratch.path().join("plan"), scratch.path().join("victim"));
    fs::write(&victim, "precious").expect("written");
    for name in ["plan.partial", "plan.part", "plan.tmp", ".plan.part", ".sealwax-.part"] {
        symlink("victim", scratch.path().join(name)).expect("linked");
    }
    let before = names(scratch.path());
    let mut temporary = Vec::new();
    for _ in 0..2 {
        let new = NewFile::create(&path).expect("created");
        let found = names(scratch.path());
        let found: Vec<_> =
            found.iter().filter(|name| !before.contains(name) && *name != "plan").collect();
        assert_eq!(found.len(), 1, "{found:?}");
        // 128 random bits.
        assert_eq!(found[0].len(), ".sealwax-.part".len() + 32, "{found:?}");
        temporary.push(found[0].clone());
        new.complete().expect("complete");
    }
    assert_ne!(temporary[0], temporary[1]);
    assert_eq!(read(&victim), "precious");
    assert!(fs::symlink_metadata(&path).expect("there").is_file());
}

#[test]
fn an_unfinished_file_is_removed_and_the_old_one_stays() {
    let scratch = scratch();
    let path = scratch.path().join("file");
    fs::write(&path, "old").expect("written");
    drop(NewFile::create(&path).expect("created"));
    drop(NewFile::create_private(scratch.path().join("key")).expect("created"));
    assert_eq!((names(scratch.path()), read(&path).as_str()), (vec!["file".to_owned()], "old"));
}

/// Starts one of this file's ignored tests as a process of its own.
fn process(test: &str, target: &Path) -> Command {
    let mut process = Command::new(env::current_exe().expect("this program"));
    process.args(["--exact", test, "--ignored", "--nocapture"]).env(TARGET, target);
    process
}

fn target() -> PathBuf {
    env::var_os(TARGET).expect("the target").into()
}

#[test]
fn a_killed_writer_leaves_the_old_file() {
    let scratch = scratch();
    let path = scratch.path().join("file");
    fs::write(&path, "old").expect("written");
    let mut writer = process("writes_half_and_waits", &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let output = BufReader::new(writer.stdout.take().expect("piped"));
    let mut lines = output.lines().map(|line| line.expect("text"));
    assert!(lines.any(|line| line.contains("half is written")), "it ended");
    writer.kill().expect("killed");
    writer.wait().expect("it ended");
    assert_eq!(read(&path), "old");
    let left = names(scratch.path());
    assert_eq!(left.len(), 2, "{left:?}");
    let half = fs::metadata(scratch.path().join(&left[0])).expect("there");
    assert_eq!((half.len(), half.mode() & 0o777), (4, 0o600));
}

#[test]
#[ignore = "a process of another test"]
fn writes_half_and_waits() {
    let new = NewFile::create(target()).expect("created");
    new.file().write_all(b"half").expect("written");
    println!("half is written");
    let _ = io::stdin().read(&mut [0]);
    new.complete().expect("complete");
}

/// Only root can give a file to another user, and only then can another user's file be replaced.
#[test]
fn the_owner_stays_or_the_file_is_refused() {
    const OTHER: (u32, u32) = (65_534, 65_534);
    const THIRD: (u32, u32) = (65_533, 65_533);
    let scratch = scratch();
    let path = scratch.path().join("file");
    fs::write(&path, "old").expect("written");
    let owner = |path: &Path| {
        let metadata = fs::metadata(path).expect("there");
        (metadata.uid(), metadata.gid())
    };
    let own = owner(&path);
    write(&path, "new").expect("written");
    assert_eq!(owner(&path), own);
    let give = |path: &Path, (uid, gid)| std::os::unix::fs::chown(path, Some(uid), Some(gid));
    if give(&path, OTHER).is_err() {
        eprintln!("not root: other owners are not tested");
        return;
    }
    write(&path, "newer").expect("root can");
    assert_eq!((owner(&path), read(&path).as_str()), (OTHER, "newer"));

    // As another user, who may write to the folder.
    let program = scratch.path().join("program");
    fs::copy(env::current_exe().expect("this program"), &program).expect("copied");
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).expect("set");
    let replaces = || {
        let arguments = ["--exact", "replaces", "--ignored", "--nocapture"];
        let mut process = Command::new(&program);
        process.args(arguments).env(TARGET, &path).uid(THIRD.0).gid(THIRD.1);
        let output = process.stdin(Stdio::null()).output().expect("started");
        String::from_utf8(output.stdout).expect("text")
    };
    let said = replaces();
    let refused = format!("{:?}", Some(Refusal::Owner { uid: OTHER.0, gid: OTHER.1 }));
    assert!(said.contains(&refused), "{said}");
    assert_eq!((owner(&path), read(&path).as_str()), (OTHER, "newer"));
    assert_eq!(names(scratch.path()), ["file", "program"]);
    give(&path, THIRD).expect("given");
    let said = replaces();
    assert!(said.contains("replaced"), "{said}");
    assert_eq!((owner(&path), read(&path).as_str()), (THIRD, "by another user"));
}

#[test]
#[ignore = "a process of another test"]
fn replaces() {
    match write(target(), "by another user") {
        Ok(()) => println!("replaced"),
        Err(error) => println!("{:?}", Refusal::of(&error)),
    }
}

/// With a list, the group bits of the mode are its mask: without the list, they would give the
/// owning group what one user has.
#[cfg(target_os = "linux")]
#[test]
fn an_access_control_list_stays_and_none_is_added() {
    use rustix::{
        fs::{XattrFlags, getxattr, setxattr},
        io::Errno,
    };

    const LIST: &str = "system.posix_acl_access";
    const DEFAULT: &str = "system.posix_acl_default";
    /// User 1000 may read and write, the owning group has no access (`posix_acl_xattr.h`).
    const ENTRIES: [(u16, u16, u32); 5] = [
        (0x01, 6, u32::MAX),
        (0x02, 6, 1000),
        (0x04, 0, u32::MAX),
        (0x10, 6, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let list: Vec<u8> = 2_u32
        .to_le_bytes()
        .into_iter()
        .chain(ENTRIES.into_iter().flat_map(|(tag, permissions, id)| {
            let (tag, permissions) = (tag.to_le_bytes(), permissions.to_le_bytes());
            [&tag[..], &permissions[..], &id.to_le_bytes()[..]].concat()
        }))
        .collect();
    let scratch = scratch();
    let (path, plain) = (scratch.path().join("listed"), scratch.path().join("plain"));
    for file in [&path, &plain] {
        fs::write(file, "old").expect("written");
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("set");
    }
    match setxattr(&path, LIST, &list, XattrFlags::empty()) {
        Err(Errno::OPNOTSUPP) => {
            eprintln!("the file system has no access control lists");
            return;
        }
        set => set.expect("set"),
    }
    setxattr(scratch.path(), DEFAULT, &list, XattrFlags::empty()).expect("set");
    let list_of = |path: &Path| {
        let mut buffer = vec![0; 1 << 10];
        getxattr(path, OsStr::new(LIST), &mut buffer[..]).map(|len| buffer[..len].to_vec())
    };
    for file in [&path, &plain] {
        write(file, "new").expect("written");
    }
    assert_eq!(list_of(&path).as_deref(), Ok(&list[..]));
    assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o660);
    assert_eq!(list_of(&plain), Err(Errno::NODATA));
    assert_eq!(fs::metadata(&plain).expect("there").mode() & 0o777, 0o600);
    // A new file has the folder's.
    write(scratch.path().join("new"), "new").expect("written");
    assert_eq!(list_of(&scratch.path().join("new")).as_deref(), Ok(&list[..]));
}

#[test]
fn files_that_grow_are_regular_and_private() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    assert!(open_to_append(at("journal")).expect("no error").is_none());
    let append = |mut file: File| file.write_all(b"line\n").expect("written");
    append(create_or_append(at("journal")).expect("created"));
    append(create_or_append(at("journal")).expect("opened"));
    symlink("journal", at("link")).expect("linked");
    append(open_to_append(at("link")).expect("opened").expect("it exists"));
    assert_eq!(read(at("journal")), "line\n".repeat(3));
    assert_eq!(fs::metadata(at("journal")).expect("there").mode() & 0o777, 0o600);

    fs::create_dir(at("folder")).expect("made");
    pipe(&at("pipe"));
    symlink("pipe", at("to-pipe")).expect("linked");
    symlink("nowhere", at("dangling")).expect("linked");
    for (path, expected) in [
        (at("folder"), Refusal::NotRegular(FileKind::Folder)),
        (at("pipe"), Refusal::NotRegular(FileKind::Pipe)),
        (at("to-pipe"), Refusal::NotRegular(FileKind::Pipe)),
        ("/dev/null".into(), Refusal::NotRegular(FileKind::Device)),
        (at("dangling"), Refusal::DanglingLink),
    ] {
        assert_eq!(refusal(open_to_append(&path)), expected, "{}", path.display());
        assert_eq!(refusal(create_or_append(&path)), expected, "{}", path.display());
    }
    assert!(!at("nowhere").exists());
}

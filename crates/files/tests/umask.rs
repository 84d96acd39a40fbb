//! The mode of new files. The umask belongs to the process, so this is the only test in it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rustix::{fs::Mode, process::umask};
use sealwax_files::{Folder, NewFile, RelativePath, create_or_append};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it exists").permissions().mode() & 0o7777
}

#[test]
fn a_new_file_has_the_umasks_mode_and_an_existing_one_keeps_its_own() {
    for (mask, new, folder) in [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0o002, 0o664, 0o775)]
    {
        let before = umask(Mode::from_raw_mode(mask));
        let scratch = tempfile::tempdir().expect("a folder");
        let at = |name: &str| scratch.path().join(name);
        for (name, existing) in [
            ("new", None),
            ("private", Some(0o600)),
            ("group", Some(0o640)),
            ("all", Some(0o666)),
            ("read-only", Some(0o444)),
            ("program", Some(0o755)),
        ] {
            let path = at(name);
            if let Some(mode) = existing {
                fs::write(&path, "old").expect("written");
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            }
            let file = NewFile::create(&path).expect("created");
            let unfinished = fs::read_dir(scratch.path()).expect("readable").flatten();
            let unfinished: Vec<_> = unfinished
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|end| end == "part"))
                .collect();
            assert_eq!(unfinished.len(), 1, "{unfinished:?}");
            assert_eq!(mode(&unfinished[0]), 0o600, "umask {mask:03o}, {name}");
            file.complete().expect("complete");
            assert_eq!(mode(&path), existing.unwrap_or(new), "umask {mask:03o}, {name}");
        }
        // Bits that make a program run as another user are not kept, as by a write.
        fs::set_permissions(at("program"), fs::Permissions::from_mode(0o4755)).expect("set");
        NewFile::create(at("program")).expect("created").complete().expect("complete");
        assert_eq!(mode(&at("program")), 0o755);

        let path = RelativePath::parse("a/b/c").expect("a path");
        let root = Folder::create(at("root")).expect("created");
        root.new_file(&path).expect("created").complete().expect("complete");
        assert_eq!(mode(&at("root/a")), folder, "umask {mask:03o}");
        assert_eq!(mode(&at("root/a/b/c")), new, "umask {mask:03o}");

        NewFile::create_new(at("first")).expect("created").complete().expect("complete");
        assert_eq!(mode(&at("first")), new);
        let again = NewFile::create_new(at("first")).expect_err("it exists");
        assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);
        let late = NewFile::create_new(at("late")).expect("created");
        fs::write(at("late"), "of another").expect("written");
        let late = late.complete().expect_err("it exists by now");
        assert_eq!(late.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(at("late")).expect("there"), b"of another");

        // State files, journals and keys are private whatever the umask.
        NewFile::create_private(at("key")).expect("created").complete().expect("complete");
        create_or_append(at("journal")).expect("created");
        assert_eq!((mode(&at("key")), mode(&at("journal"))), (0o600, 0o600));
        umask(before);
    }
}

//! Command on a terminal.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    process::Child,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use nix::pty::{Winsize, openpty};

use super::{Run, Sealwax, wait_until};

/// Command whose standard input and standard error are a terminal, but not standard output.
pub(crate) struct Terminal {
    child: Killed,
    keyboard: File,
    shown: Arc<Mutex<String>>,
    screen: JoinHandle<()>,
}

/// Process that a failed test ends: it may wait for an answer.
struct Killed(Option<Child>);

impl Drop for Killed {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Terminal {
    /// Runs a command, on a terminal of 200 columns.
    pub(crate) fn run(command: Sealwax) -> Self {
        Self::run_in(command, 200)
    }

    /// Runs a command, on a terminal of so many columns.
    pub(crate) fn run_in(mut command: Sealwax, columns: u16) -> Self {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a terminal");
        let mut master = File::from(pty.master);
        command.command.stdin(pty.slave.try_clone().expect("cloned")).stderr(pty.slave);
        if command.command.get_envs().all(|(name, _)| name != "TERM") {
            command.command.env("TERM", "xterm");
        }
        let child = command.command.spawn().expect("the command starts");
        // The parent's copy of the other side would keep the terminal open.
        drop(command);
        let (keyboard, shown) =
            (master.try_clone().expect("cloned"), Arc::<Mutex<String>>::default());
        let screen = thread::spawn({
            let shown = Arc::clone(&shown);
            move || {
                let mut buffer = [0; 4096];
                // Reading fails after the other side is closed.
                while let Ok(len @ 1..) = master.read(&mut buffer) {
                    shown
                        .lock()
                        .expect("no panic")
                        .push_str(&String::from_utf8_lossy(&buffer[..len]));
                }
            }
        });
        Self { child: Killed(Some(child)), keyboard, shown, screen }
    }

    /// Waits for this text.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        wait_until(text, || self.shown.lock().expect("no panic").contains(text));
    }

    /// Types a line.
    pub(crate) fn types(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).expect("typed");
    }

    /// Sends a signal, as Ctrl-C does.
    pub(crate) fn interrupts(&self) {
        super::send("INT", self.child.0.as_ref().expect("it runs"));
    }

    /// Waits for its exit. Standard error is the terminal's text, with the input.
    pub(crate) fn ends(mut self) -> Run {
        let child = self.child.0.take().expect("it runs");
        let output = child.wait_with_output().expect("it ends");
        self.screen.join().expect("no panic");
        let run = Run::new(output);
        Run { stderr: self.shown.lock().expect("no panic").clone(), ..run }
    }
}
